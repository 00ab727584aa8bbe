# Shell functions of scripts/build: source it after common.sh, it does nothing by itself.

# need_tools: a virtual environment that can build; $tools is its folder.
need_tools() {
  tools=${MGPU_BUILD_DIR:-/var/lib/mgpu-build}/venv
  [ -x "$tools/bin/pip" ] && [ -e "$tools/.ready" ] && return 0
  say "making a virtual environment for the build in $tools"
  step rm -rf "$tools"
  step mkdir -p "$(dirname "$tools")"
  step /usr/bin/python3 -m venv "$tools"
  step "$tools/bin/pip" install -q "setuptools>=64" wheel build
  : > "$tools/.ready"
}

# copy_source DIR: what git tracks, or would track, so that a build leaves nothing in the checkout.
copy_source() {
  mkdir -p "$1"
  if [ ! -e "$here/.git" ]; then # not a checkout: the source as it was unpacked
    tar -C "$here" --exclude=./dist -c . | tar -x -C "$1" --no-same-owner
    return
  fi
  (cd "$here" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard \
    | while IFS= read -rd '' name; do [ ! -e "$name" ] || printf '%s\0' "$name"; done \
    | tar --null -T - -c) | tar -x -C "$1" --no-same-owner
}

# download_wheels DIR VERSION [PACKAGE...]: what pip needs to build and install mgpu and the packages for that
# Python, as files.
download_wheels() {
  local needs
  mapfile -t needs < <(/usr/bin/python3 -c 'import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], sep="\n")' "$here/pyproject.toml")
  step "$tools/bin/pip" download -q --disable-pip-version-check --only-binary :all: --python-version "$2" \
    --platform "manylinux2014_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" -d "$1" \
    "setuptools>=64" wheel build "${@:3}" "${needs[@]}"
}

build_wheel() {
  step "$tools/bin/python" -m build --wheel --no-isolation -o "$dist" "$work/source" > "$work/log" \
    || { cat "$work/log" >&2; exit 1; }
  echo "dist/mgpu-$version-py3-none-any.whl"
}

build_sdist() {
  step "$tools/bin/python" -m build --sdist --no-isolation -o "$dist" "$work/source" > "$work/log" \
    || { cat "$work/log" >&2; exit 1; }
  echo "dist/mgpu-$version.tar.gz"
}

# make_prefix ROOT PREFIX: mgpu and all it needs below ROOT/PREFIX, with an interpreter environment
# of its own, commands, units, pages and completions; nothing in it names ROOT.
make_prefix() {
  local root=$1 prefix=$2 home=$1$2 name module
  step /usr/bin/python3 -m venv --without-pip "$home"
  step "$tools/bin/pip" --python "$home/bin/python3" install -q --no-compile --no-warn-script-location \
    --disable-pip-version-check --root-user-action ignore "$work/source"
  rm -rf "$home"/bin/[!p]* "$home/bin/pygmentize" "$home/include" "$home/lib64" "$home/share" "$home/.gitignore"
  rm -f "$home/bin/python"
  ln -sfn /usr/bin/python3 "$home/bin/python3"
  find "$home/bin" -name 'python3.*' -delete
  printf 'home = /usr/bin\ninclude-system-site-packages = false\n' > "$home/pyvenv.cfg"
  rm -rf "$home"/lib/python3*/site-packages/{croniter,psutil}/tests
  find "$home"/lib -type f -perm /111 -exec chmod 644 {} +
  find "$home"/lib -name '*.py' -exec sed -i '1s/^#!.*//' {} + # nothing of it is a program
  find "$home" -name '*.so' -exec strip --strip-unneeded {} + 2>/dev/null || true
  find "$home" \( -name RECORD -o -name direct_url.json -o -name REQUESTED -o -name INSTALLER \) -delete
  install_commands "$root" "$prefix"
  install_shared "$root"
  install -D -m 644 "$here/packaging/debian/copyright" "$root/usr/share/doc/mgpu/copyright"
  third_parties "$root" "$prefix" >> "$root/usr/share/doc/mgpu/copyright"
}

# install_commands ROOT PREFIX: what /usr/bin has, for people and for root.
install_commands() {
  local root=$1 prefix=$2 name module
  mkdir -p "$root/usr/bin"
  sed -n '/^\[project.scripts\]/,/^$/s/^\([a-z_]*\) = "\(.*\):main"/\1 \2/p' "$here/pyproject.toml" \
    | while read -r name module; do
      printf '#!%s/bin/python3 -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' \
        "$prefix" "$module" > "$root$prefix/bin/$name"
    done
  mkdir -p "$root/usr/share/man/man8"
  ln -s mgpud.8.gz "$root/usr/share/man/man8/mgpu_scheduler_server.8.gz"
  for name in mgpud mgpu_scheduler_server; do
    install -m 755 "$here/packaging/bin/$name" "$root$prefix/bin/$name"
  done
  chmod 755 "$root$prefix"/bin/mgpu*
  for name in "$root$prefix"/bin/mgpu*; do ln -s "..${prefix#/usr}/bin/${name##*/}" "$root/usr/bin/${name##*/}"; done
}

# install_shared ROOT: units, pages, completions, documentation, the configuration.
install_shared() {
  local root=$1 file
  install -D -m 644 -t "$root/usr/lib/systemd/system" "$here"/systemd/*.service "$here"/systemd/*.socket
  install -D -m 644 "$here/systemd/mgpu.sysusers" "$root/usr/lib/sysusers.d/mgpu.conf"
  install -D -m 644 "$here/systemd/mgpu.tmpfiles" "$root/usr/lib/tmpfiles.d/mgpu.conf"
  for file in "$here"/packaging/man/*.[18]; do
    install -D -m 644 "$file" "$root/usr/share/man/man${file##*.}/${file##*/}"
  done
  find "$root/usr/share/man" -type f -exec gzip -9n {} +
  install_completions "$root"
  install_documentation "$root/usr/share/doc/mgpu"
  install -D -m 644 "$here/packaging/config.toml" "$root/etc/mgpu/config.toml"
}

# install_documentation DIR: the pages as they lie in docs/, and README.md, whose links lead there, beside them.
install_documentation() {
  local folder
  install -D -m 644 -t "$1" "$here"/docs/*.md
  sed -e 's|](docs/|](|g' -e 's|](CHANGELOG.md)|](changelog.gz)|' -e 's|](LICENSE)|](copyright)|' "$here/README.md" > "$1/README.md"
  gzip -9nc "$here/CHANGELOG.md" > "$1/changelog.gz"
  for folder in adr pictures reference; do install -D -m 644 -t "$1/$folder" "$here/docs/$folder"/*; done
}

# install_completions ROOT: for all commands of a shell at once; bash wants a file for each.
install_completions() {
  local root=$1 name
  completion_of() { "$root$prefix/bin/python3" -I -B "$root$prefix/bin/mgpu" completion "$1"; }
  mkdir -p "$root"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
  completion_of bash > "$root/usr/share/bash-completion/completions/mgpu"
  for name in "$root"/usr/bin/mgpu_*; do
    ln -s mgpu "$root/usr/share/bash-completion/completions/${name##*/}"
  done
  completion_of zsh > "$root/usr/share/zsh/vendor-completions/_mgpu"
  completion_of fish > "$root/usr/share/fish/vendor_completions.d/mgpu.fish"
}

build_deb() {
  local root=$work/deb prefix=/usr/lib/mgpu arch python file name
  command -v dpkg-deb > /dev/null || die "dpkg-deb is missing: Debian packages are made on Debian"
  arch=$(dpkg --print-architecture)
  mkdir -p "$root/DEBIAN"
  make_prefix "$root" "$prefix"
  debian_changelog | gzip -9nc > "$root/usr/share/doc/mgpu/changelog.Debian.gz"
  install -D -m 644 "$here/packaging/debian/lintian-overrides" "$root/usr/share/lintian/overrides/mgpu"
  python=$(/usr/bin/python3 -c 'import sys; print("%d.%d %d.%d" % (*sys.version_info[:2], sys.version_info[0], sys.version_info[1] + 1))')
  sed -e "s/@VERSION@/$version-1/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$(du -k -s "$root" | cut -f1)/" \
    -e "s/@PYTHON@/${python% *}/" -e "s/@NEXT_PYTHON@/${python#* }/" \
    "$here/packaging/debian/control" > "$root/DEBIAN/control"
  for name in postinst prerm postrm; do
    install -m 755 "$here/packaging/debian/$name" "$root/DEBIAN/$name"
  done
  echo /etc/mgpu/config.toml > "$root/DEBIAN/conffiles"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
  chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}
  file=mgpu_$version-1_$arch.deb
  step dpkg-deb --root-owner-group -Zxz -b "$root" "$dist/$file" > /dev/null
  echo "dist/$file"
}

debian_changelog() {
  printf 'mgpu (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
    "$version" "$(sed -n 's/^Maintainer: //p' "$here/packaging/debian/control")" \
    "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(git -C "$here" -c safe.directory='*' log -1 --format=%ct)}")"
}

# third_parties ROOT PREFIX: the licences of what is vendored, for the file copyright.
third_parties() {
  local file
  for file in "$1$2"/lib/python3*/site-packages/*.dist-info/METADATA; do
    case $file in */mgpu-*) continue ;; esac
    printf '\nFiles: %s/lib/python3*/site-packages, package %s\n' "${2#/}" "$(sed -n 's/^Name: //p;T;q' "$file")"
    printf 'Comment: licence as its own metadata has it: %s\n' \
      "$(sed -n 's/^License\(-Expression\)\{0,1\}: //p' "$file" | head -n 1)"
  done
}

# build_binaries: one folder with one program that has the names of all commands.
build_binaries() {
  local name made=$work/binaries
  step "$tools/bin/pip" install -q "pyinstaller>=6" "$work/source"
  (cd "$work" && step "$tools/bin/pyinstaller" --log-level ERROR --noconfirm --onedir --name mgpud \
    --distpath "$made" --workpath "$work/pyinstaller" --specpath "$work" \
    --collect-submodules mgpu --collect-data mgpu --collect-submodules rich._unicode_data \
    "$work/source/packaging/binaries/program.py")
  for name in $(sed -n '/^\[project.scripts\]/,/^$/s/^\([a-z_]*\) = .*/\1/p' "$here/pyproject.toml") \
    mgpu_scheduler_server; do
    ln -s mgpud "$made/mgpud/$name"
  done
  rm -rf "$dist/binaries"
  mv "$made/mgpud" "$dist/binaries"
  step "$tools/bin/pip" uninstall -q -y mgpu
  echo "dist/binaries"
}

# build_rpm: the files of the Debian package, as an RPM package.
build_rpm() {
  command -v rpmbuild > /dev/null || die "rpmbuild is missing"
  local root=$work/rpm
  make_prefix "$root" /usr/lib/mgpu
  mv "$root/usr/share/zsh/vendor-completions" "$root/usr/share/zsh/site-functions" # the name that Debian alone has
  (cd "$root" && find . -mindepth 1 \( -type f -o -type l \) ! -path './etc/*' ! -path './usr/lib/mgpu/*' \
    -printf '/%P\n') > "$work/files"
  step rpmbuild -bb --quiet --define "_topdir $work/rpmbuild" --define "_rpmdir $dist" \
    --define "_rpmfilename mgpu-$version-1.%{ARCH}.rpm" --define "mgpu_version $version" \
    --define "mgpu_root $root" --define "mgpu_files $work/files" --define '_build_id_links none' \
    --define "mgpu_python $(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" \
    "$here/packaging/mgpu.spec"
  (cd "$here" && ls dist/mgpu-"$version"-1.*.rpm)
}
