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
# and compiled. When nothing has changed since the last call, nothing is done.
need_venv() {
  local dir=$1 checkout=$2 extra=${3:-}
  local python=/usr/bin/python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || die "$python is older than 3.11, which mgpu needs"
  ( umask 022
    mkdir -p "$dir"
    exec 9>"$dir.lock"; flock 9
    local needs code
    needs=$({ echo "$extra"; "$python" -V; cat "$checkout/pyproject.toml"; } | sha256sum)
    code=$(cd "$checkout" && find mgpu pyproject.toml -type f -not -name '*.pyc' -print0 \
           | sort -z | xargs -0 sha256sum | sha256sum)
    if [ "$(cat "$dir/.needs" 2>/dev/null)" != "$needs" ]; then
      say "making a virtual environment in $dir"
      rm -rf "$dir"
      "$python" -m venv "$dir"
      "$dir/bin/python" -m pip install -q "setuptools>=64" wheel
      install_package "$dir" "$checkout" "mgpu${extra:+[$extra]}"
      echo "$needs" > "$dir/.needs"
      echo "$code" > "$dir/.code"
    elif [ "$(cat "$dir/.code" 2>/dev/null)" != "$code" ]; then
      say "installing the changed package in $dir"
      install_package "$dir" "$checkout" mgpu --no-deps --force-reinstall
      echo "$code" > "$dir/.code"
    fi
  ) || die "could not make the virtual environment $dir"
}

# install_package DIR CHECKOUT REQUIREMENT [PIP-OPTION...]: from a copy, so that the build leaves
# nothing in the checkout and takes nothing from it but the package.
install_package() (
  set -e
  dir=$1 checkout=$2 requirement=$3; shift 3
  copy=$(mktemp -d); trap 'rm -rf "$copy"' EXIT
  cp -r "$checkout/mgpu" "$checkout/pyproject.toml" "$checkout/README.md" "$checkout/LICENSE" "$copy"
  find "$copy" -name __pycache__ -prune -exec rm -rf {} +
  "$dir/bin/python" -m pip install -q --no-build-isolation "$@" "${requirement/#mgpu/$copy}"
  # Compiled here and now, whatever the environment says: users cannot write the files later.
  env -u PYTHONDONTWRITEBYTECODE "$dir/bin/python" -m compileall -q "$dir"/lib/python3*/site-packages
)

# need_service_user: the system user and the group of the daemon; prints what it made.
need_service_user() {
  getent group mgpu-admin >/dev/null || { groupadd --system mgpu-admin && echo group mgpu-admin; }
  getent passwd mgpu >/dev/null || {
    useradd --system --user-group --home-dir /nonexistent --no-create-home \
      --shell /usr/sbin/nologin mgpu && echo user mgpu
  }
}
