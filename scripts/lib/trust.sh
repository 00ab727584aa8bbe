# Shell functions about who could change what root is about to run. Source it after common.sh.

# need_trusted PATH: stop unless PATH, all below it and every folder above it belong to root and can
# be written by root alone. A folder like /tmp, where nobody can replace another's, may lie above.
need_trusted() {
  local path above found
  path=$(readlink -f "$1") # what a link leads to is what would be run
  found=$(find "$path" ! -type l \( ! -uid 0 -o -perm /022 \) -print -quit 2>/dev/null)
  [ -z "$found" ] || distrust "$found"
  above=$path
  while [ "$above" != / ]; do
    above=$(dirname "$above")
    found=$(find "$above" -maxdepth 0 \( ! -uid 0 -o -perm /022 ! -perm -1000 \) -print)
    [ -z "$found" ] || distrust "$found"
  done
}

distrust() {
  die "$1 can be changed by others than root (owner $(stat -c %U "$1"), mode $(stat -c %a "$1")):
what root runs must be root's alone; copy the source to a folder of root's, with: umask 022; cp -r --no-preserve=all"
}
