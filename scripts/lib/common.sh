# Shell functions that the scripts share: source it, it does nothing by itself.

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# usage: print the comment at the top of the calling script.
usage() { sed -n '2,${/^#/!q;s/^# \{0,1\}//;p}' "$0"; }

need_root() { [ "$(id -u)" = 0 ] || die "must be root: it makes Unix users and starts a daemon"; }

# need_packages NAME...: install the Debian packages that are missing; nothing to do, no network.
need_packages() {
  command -v dpkg-query >/dev/null || { say "not a Debian system: expecting to find $*"; return 0; }
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^.i' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
    >/dev/null || die "could not install: ${missing[*]}"
}

# need_venv DIR CHECKOUT [EXTRA]: a virtual environment at DIR with the package of CHECKOUT in it.
#
# It is made with the system's Python, belongs to root and can be read by everybody, since jobs of
# all users start from it; so DIR must not lie below a home. The package is copied in, not linked,
# and compiled. When nothing has changed since the last call, nothing is done. Descriptor 9 keeps
# it from being changed by another script as long as this one runs.
need_venv() {
  local dir=$1 checkout=$2 extra=${3:-} python=/usr/bin/python3 needs code
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || die "$python is older than 3.11, which mgpu needs"
  needs=$({ echo "$extra"; "$python" -V; cat "$checkout/pyproject.toml"; } | sha256sum)
  code=$(cd "$checkout" && find mgpu packaging/bin pyproject.toml -type f -not -name '*.pyc' -print0 \
         | sort -z | xargs -0 sha256sum | sha256sum)
  ( umask 022; mkdir -p "$(dirname "$dir")" )
  exec 9>> "$dir.lock"
  flock -s 9
  venv_is "$dir" "$needs" "$code" && return 0
  flock -n 9 || { say "waiting for another script that uses $dir"; flock 9; }
  ( umask 022; update_venv ) || die "could not make the virtual environment $dir"
  flock -s 9
}

# venv_is DIR NEEDS CODE: whether DIR was made for these and still has the package.
venv_is() { [ -x "$1/bin/mgpud" ] && [ "$(cat "$1/.needs" "$1/.code" 2>/dev/null)" = "$2"$'\n'"$3" ]; }

# update_venv: the work of need_venv, with its variables. Each step ends it when it fails.
update_venv() {
  if [ "$(cat "$dir/.needs" 2>/dev/null)" != "$needs" ]; then
    say "making a virtual environment in $dir"
    step rm -rf "$dir"
    step "$python" -m venv "$dir"
    step "$dir/bin/python" -m pip install -q "setuptools>=64" wheel
    install_package "${extra:+[$extra]}"
    step tee "$dir/.needs" <<< "$needs" > /dev/null
  elif ! venv_is "$dir" "$needs" "$code"; then
    say "installing the changed package in $dir"
    install_package "" --no-deps --force-reinstall
  fi
  step tee "$dir/.code" <<< "$code" > /dev/null
}

step() { "$@" || die "failed: $*"; }

# install_package EXTRA [PIP-OPTION...]: from a copy, so that the build leaves nothing in the
# checkout and takes nothing from it but the package.
install_package() {
  local copy wanted=$1; shift
  copy=$(step mktemp -d) || exit 1
  trap "rm -rf '$copy'" EXIT # now, since the variable is gone at the end of this subshell
  step mkdir "$copy/packaging"
  step cp -r "$checkout/packaging/bin" "$copy/packaging"
  step cp -r "$checkout/mgpu" "$checkout/pyproject.toml" "$checkout/README.md" "$checkout/LICENSE" "$copy"
  find "$copy" -name __pycache__ -prune -exec rm -rf {} +
  step "$dir/bin/python" -m pip install -q --no-build-isolation "$@" "$copy$wanted"
  # Compiled here and now, whatever the environment says: users cannot write the files later.
  step env -u PYTHONDONTWRITEBYTECODE "$dir/bin/python" -m compileall -q "$dir"/lib/python3*/site-packages
}

# need_service_user: the system user and the group of the daemon; prints what it made.
need_service_user() {
  getent group mgpu-admin >/dev/null || { groupadd --system mgpu-admin && echo group mgpu-admin; }
  getent passwd mgpu >/dev/null || {
    useradd --system --user-group --home-dir /nonexistent --no-create-home \
      --shell /usr/sbin/nologin mgpu && echo user mgpu
  }
}
