#!/usr/bin/env bash
# Build the image of a bento from its own Dockerfile and serve from it as a cluster would, with neither a container
# engine's daemon nor a registry:
#
#     deploy/try_image.sh build/bentoml/bentos/phototriage/cpu docs/cat.jpg
#
# debootstrap makes a Debian with Python that stands in for the base image, buildah runs the Dockerfile on it, and the
# server runs as the image's user, without capabilities, network or a writable root: only TMP below can be written to.
# Needs root, since it mounts. buildah and debootstrap are installed where they are missing, and stay; all else that
# it makes goes away. Debian's mirror and the package index are those that this machine's apt and pip use.
set -Eeuo pipefail

readonly SUITE=bookworm            # the Debian whose python3 is 3.11
readonly TMP=/tmp                  # the one folder that a pod has to make writable
readonly ADDRESS=192.0.2.1:3000    # one for examples (RFC 5737): the server mustn't listen on loopback alone
readonly READY_SECONDS=60 STOP_SECONDS=60

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() { echo "try_image: $*" >&2; exit 1; }

# name of a command, Debian's package that has it
need() {
  command -v "$1" >/dev/null && return
  command -v apt-get >/dev/null || fail "$1 is missing: install it (Debian's package $2)"
  say "install $2"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2"; } >/dev/null
}

debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$1 ~ /\/debian\/$/ && $2 !~ /-/ && $3 == "main" { print $1; exit }'
}

# pip's package indexes, as configuration of pip and of uv, which doesn't read pip's. Those on this machine's disk are
# left out: their files can't be seen from inside.
write_index_configuration() {
  local all main extra
  all=$(python3 -m pip config list | sed -nE "s/^[^.]+\.((extra-)?index-url)='(.*)'$/\1 \3/p" | sed 's/\\n/ /g' |
    awk '{ for (i = 2; i <= NF; i++) if ($i ~ /^https?:/ && !seen[$1, $i]++) print $1, $i }')
  main=$(awk '$1 == "index-url" { print $2; exit }' <<<"$all")
  extra=$(awk '$1 == "extra-index-url" { printf "%s ", $2 }' <<<"$all")
  {
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n'
    [[ -z $main ]] || echo "index-url = $main"
    [[ -z $extra ]] || echo "extra-index-url = $extra"
  } >"$work/pip.conf"
  {
    printf 'native-tls = true\nindex-strategy = "unsafe-best-match"\n'
    [[ -z $main ]] || echo "index-url = \"$main\""
    # shellcheck disable=SC2086 # one word an index
    [[ -z $extra ]] || echo "extra-index-url = [$(printf '"%s", ' $extra)]"
  } >"$work/uv.toml"
}

make_base() {
  local base container mirror log=$work/debootstrap.log
  base=$(sed -nE 's/^FROM ([^ ]+).*/\1/p' "$bento/env/docker/Dockerfile")
  mirror=$(debian_mirror)
  say "debootstrap of $SUITE, in place of $base"
  debootstrap --variant=minbase --include=python3,python3-pip,ca-certificates "$SUITE" "$work/base" \
    ${mirror:+"$mirror"} >"$log" 2>&1 || { tail "$log" >&2; fail "debootstrap failed"; }
  # As in Python's own image: `python` is there, and pip installs beside it.
  ln -s python3 "$work/base/usr/bin/python"
  rm -f "$work"/base/usr/lib/python3*/EXTERNALLY-MANAGED
  container=$(in_store buildah from scratch)
  in_store buildah add --quiet "$container" "$work/base" / >/dev/null
  in_store buildah commit --quiet --rm "$container" "docker.io/library/$base" >/dev/null
  base_size=$(du -sm "$work/base" | cut -f1)
  rm -rf --one-file-system "$work/base"
}

build_image() {
  local log=$work/build.log
  say "buildah runs the bento's Dockerfile"
  in_store buildah build --isolation chroot --layers=false --pull-never --tag phototriage:try \
    --volume "$work/pip.conf:/etc/pip.conf:ro" --volume "$work/uv.toml:/etc/uv/uv.toml:ro" \
    --volume /etc/ssl/certs:/etc/ssl/certs:ro --file "$bento/env/docker/Dockerfile" "$bento" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; fail "the Dockerfile failed"; }
  container=$(in_store buildah from --pull-never localhost/phototriage:try)
  mounted=$(in_store buildah mount "$container")
  say "image: $(du -sm "$mounted" | cut -f1) MB, of which $base_size MB stand in for the base, and" \
    "$(du -sm "$mounted/app/.venv" | cut -f1) MB are Python packages"
}

# What the image says of how it is run, a file a field.
write_image_configuration() {
  local field
  for field in Env Entrypoint; do
    in_store buildah inspect --format "{{range .OCIv1.Config.$field}}{{println .}}{{end}}" "$container" |
      sed '/^$/d' >"$work/$field"
  done
  for field in User WorkingDir; do
    in_store buildah inspect --format "{{.OCIv1.Config.$field}}" "$container" >"$work/$field"
  done
}

in_store() { local command=$1; shift; "$command" --root "$work/storage" --runroot "$work/run" "$@"; }

clean_up() {
  [[ -v work ]] || return
  [[ ! -d $work/storage ]] || { in_store buildah umount --all && in_store buildah rm --all; } >/dev/null 2>&1 || true
  rm -rf --one-file-system "$work"
}

# The root folder as a container's runtime lays it out: read-only, with devices, shared memory and the name of localhost.
lay_out() {
  local device
  mount --bind "$1" "$root"
  mount -t tmpfs -o mode=755 dev "$root/dev"
  for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/shm"
  mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
  mount -o remount,ro "$root/dev"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  mount -o remount,bind,ro "$root"
  mount -t tmpfs -o mode=1777 tmp "$root$TMP"
}

# In namespaces of its own, so that every mount goes away with it: serve, ask, stop.
serve_and_ask() {
  local mounted=$1 photo=$2 user ids variables entrypoint container begun
  root=$work/root
  mapfile -t variables <"$work/Env"
  mapfile -t entrypoint <"$work/Entrypoint"
  user=$(<"$work/User")
  ip link set lo up
  ip address add "${ADDRESS%:*}/32" dev lo
  lay_out "$mounted"
  # The number of the image's user, as a cluster is told it: `runAsUser`.
  ids=$(awk -F: -v name="$user" '$1 == name { print $3 " " $4 }' "$root/etc/passwd")
  container=(unshare --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root"
    setpriv "--reuid=${ids% *}" "--regid=${ids#* }" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all
    env -i HOME="/home/$user" "${variables[@]}")
  ! "${container[@]}" touch "/home/$user/written" 2>/dev/null || fail "the root can be written to"

  say "serve as UID ${ids% *} with a read-only root, process 1 of its namespace"
  begun=$EPOCHREALTIME
  "${container[@]}" env --chdir="$(<"$work/WorkingDir")" "${entrypoint[@]}" serve &
  outer=$!
  # Process 1 takes all others of its namespace along.
  trap '{ kill -KILL "$(child_of "$outer")"; } 2>/dev/null || true' EXIT
  wait_until_ready "$outer"
  say "ready after $(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
  curl --silent --show-error --fail --form "image=@$photo" "$ADDRESS/v1/classify" || fail "classify failed"
  echo
  curl --silent --show-error --fail "$ADDRESS/metrics" | grep -E '^phototriage_(ready|requests_total)' ||
    fail "/metrics says nothing of the request"
  say "written: $(find "$root$TMP" "$root/dev/shm" -mindepth 1 -maxdepth 1 -printf "%P " | tr '\n' ' ')" \
    "($(du -sk "$root$TMP" | cut -f1) KB)"
  stop "$outer"
  trap - EXIT
  if grep -q '^  variant: batch$' "$root/home/$user/bento/bento.yaml"; then
    say "score, as a job does"
    install -D -m 644 "$photo" "$root$TMP/photos/photo.jpg"
    "${container[@]}" env --chdir="/home/$user/bento/src" "${entrypoint[@]}" python -m phototriage.cli score "$TMP/photos" \
      -o "$TMP/scores.parquet" || fail "score failed"
    [[ -s $root$TMP/scores.parquet ]] || fail "score wrote nothing"
  fi
}

child_of() { tr -d ' ' <"/proc/$1/task/$1/children"; }

# process that waits for the server
wait_until_ready() {
  local end=$((SECONDS + READY_SECONDS))
  until curl --silent --fail --output /dev/null "$ADDRESS/readyz"; do
    kill -0 "$1" 2>/dev/null || fail "the server ended before it was ready"
    ((SECONDS < end)) || fail "not ready within $READY_SECONDS s"
    sleep 0.1
  done
}

# process that waits for the server
stop() {
  local end=$((SECONDS + STOP_SECONDS)) status=0
  kill -TERM "$(child_of "$1")"
  while kill -0 "$1" 2>/dev/null; do
    ((SECONDS < end)) || fail "still there $STOP_SECONDS s after SIGTERM"
    sleep 0.1
  done
  wait "$1" || status=$?
  say "exit code after SIGTERM: $status"
  ((status == 0)) || fail "the exit code has to be 0"
}

if [[ ${1-} == --inside ]]; then
  SECONDS=$2
  work=$3
  serve_and_ask "${@:4}"
  exit
fi

[[ $# == 2 ]] || fail "usage: $0 BENTO_FOLDER PHOTO"
[[ -f $1/env/docker/Dockerfile ]] || fail "$1 is no bento: make bento"
[[ -f $2 ]] || fail "$2 is no file"
[[ $(id -u) == 0 ]] || fail "needs root, since it mounts and changes users: run it as root"
bento=$(realpath "$1")
photo=$(realpath "$2")
trap clean_up EXIT
work=$(mktemp -d)
need buildah buildah
need debootstrap debootstrap
need curl curl
need ip iproute2
need setpriv util-linux
write_index_configuration
make_base
build_image
write_image_configuration
mkdir "$work/root"
unshare --mount --net --propagation private "$0" --inside "$SECONDS" "$work" "$mounted" "$photo"
say "done"
