# Shell functions of scripts/install and scripts/uninstall. Source it after common.sh.

record=.installed # in the prefix: every file that was installed, one a line
folders=.folders  # and every folder that was made for them, the outer ones first

# nearest PATH: PATH, or the nearest folder above it that exists.
nearest() {
  local path=$1
  while [ ! -e "$path" ]; do path=$(dirname "$path"); done
  printf '%s\n' "$path"
}

# need_no_other: stop where mgpu is installed in another folder than $prefix: both would have the
# same commands and units.
need_no_other() {
  local command found
  command=$(readlink /usr/local/bin/mgpud) || return 0
  found=$(dirname "$(dirname "$command")")
  [ ! -e "$command" ] || [ "$found" -ef "$prefix" ] || die "mgpu is installed in $found: add --prefix $found"
}

# arrange ROOT: from the places of a package to those of an administrator.
arrange() {
  local root=$1 local=$1/usr/local
  mkdir -p "$root/etc/systemd" "$local/share/zsh"
  mv "$root/usr/lib/systemd/system" "$root/etc/systemd/system"
  mv "$root/usr/lib/tmpfiles.d" "$root/etc/tmpfiles.d"
  sed -i 's|=/usr/bin/mgpud|=/usr/local/bin/mgpud|' "$root"/etc/systemd/system/*.service
  sed -i 's|/usr/share/doc|/usr/local/share/doc|' "$root/etc/mgpu/config.toml"
  mv "$root/usr/bin" "$local/bin"
  for link in "$local"/bin/*; do ln -sfn "$prefix/bin/${link##*/}" "$link"; done
  mv "$root/usr/share/zsh/vendor-completions" "$local/share/zsh/site-functions"
  rmdir "$root/usr/share/zsh"
  mv "$root"/usr/share/* "$local/share"
  rm -rf "$root/usr/lib/sysusers.d"
}

# put_files ROOT: install what differs, remove what an earlier version had and this one has not.
put_files() {
  local root=$1 file target changed=0
  (cd "$root" && find . \( -type f -o -type l \) -printf '/%P\n' | grep -vx /etc/mgpu/config.toml | sort) > "$work/files"
  [ -n "$dry" ] || begin_record
  while IFS= read -r target; do
    same "$root$target" "$target" && continue
    changed=$((changed + 1))
    put "$root$target" "$target"
  done < "$work/files"
  if [ -e "$prefix/$record" ]; then
    comm -23 <(sort "$prefix/$record") "$work/files" | while IFS= read -r target; do
      act "remove $target" rm -f "$target"
    done
  fi
  [ -e /etc/mgpu/config.toml ] || put "$root/etc/mgpu/config.toml" /etc/mgpu/config.toml
  [ -n "$dry" ] || cmp -s "$work/files" "$prefix/$record" || install -m 644 "$work/files" "$prefix/$record"
  [ $changed != 0 ] || echo "every file is as it should be"
}

# same NEW OLD: whether the file or link is there already.
same() {
  if [ -L "$1" ]; then [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
  else [ ! -L "$2" ] && cmp -s "$1" "$2"; fi
}

# begin_record: what is about to be there is on record before, so that it goes again after a crash.
begin_record() {
  make_folder "$prefix"
  { cat "$prefix/$record" 2>/dev/null || true; cat "$work/files"; } | sort -u > "$work/record"
  install -m 644 "$work/record" "$prefix/$record"
}

made=() # folders that are not on record yet, since the prefix is not there
# make_folder DIR: with those above it; what had to be made is noted, so that it goes again.
make_folder() {
  [ ! -d "$1" ] || return 0
  make_folder "$(dirname "$1")"
  mkdir "$1"
  made+=("$1")
  [ -d "$prefix" ] || return 0
  printf '%s\n' "${made[@]}" >> "$prefix/$folders"
  made=()
}

# put NEW TARGET: in its place from one moment to the next, so that what runs is never half a file.
put() {
  if [ -n "$dry" ]; then echo "would install $2"; return; fi
  make_folder "$(dirname "$2")"
  cp -dp --no-preserve=ownership "$1" "$2.new"
  mv -fT "$2.new" "$2"
}

# act WHAT COMMAND...: do it, or say so.
act() {
  if [ -n "$dry" ]; then echo "would $1"; else shift; "$@"; fi
}

has_systemd() { [ -d /run/systemd/system ]; }

start_service() {
  if ! has_systemd; then echo "no systemd here: start it with $prefix/bin/mgpud"; return; fi
  systemctl daemon-reload
  systemctl enable -q mgpu.socket mgpu-admin.socket mgpu.service
  systemctl start mgpu.socket mgpu-admin.socket
  systemctl restart mgpu.service || die "the service does not start; see: systemctl status mgpu"
}

# erase FOLDER: a volume is emptied, and stays.
erase() { rm -rf "$1" || mountpoint -q "$1"; }

# stop_service: the daemon, then the jobs; nothing of them is left.
stop_service() {
  if has_systemd; then
    systemctl disable -q --now mgpu.socket mgpu-admin.socket mgpu.service 2>/dev/null || true
    systemctl stop mgpu-jobs.service 2>/dev/null || true
    return
  fi
  [ ! -x "$prefix/bin/mgpud" ] || "$prefix/bin/mgpud" end-jobs --stop || true
}
