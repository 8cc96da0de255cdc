# Runs one server in a folder of its own, and removes both when standard input ends, which it does when the
# test's process ends in any way. Says the folder's path, then answers each order with one line.
#
#   run COMMAND      runs it to its end and answers with its exit status
#   start COMMAND    starts the server and answers with its process
#   signal NAME      sends it to every process of the server

# A signal that is meant for the tests, and a pipe whose reader has gone, must not end this before it has
# cleaned up. The server does not inherit handlers, as it would inherit that signals are ignored.
trap : HUP INT QUIT TERM PIPE
cd /
# In /tmp, whatever TMPDIR says: the path of a socket must be short, and the server's user must reach it.
folder=$(mktemp -d /tmp/chapar-XXXXXX) || exit
# PostgreSQL and PgBouncer refuse to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    chown nobody:nogroup "$folder"
fi
exec 2>>"$folder/log"
# The server's user may not reach the tests' own, and what it leaves there would stay.
export TMPDIR="$folder"

# The server's processes are those whose working folder lies in the folder. PostgreSQL's have neither a
# process group nor, once the first has died, a parent in common. The search runs as their user: even root may
# not read another user's link without a capability that containers lack.
members() {
    $as find /proc/[0-9]*/cwd -maxdepth 0 -lname "$folder*" 2>/dev/null | cut -d / -f 3
}

tell() {
    # shellcheck disable=SC2046 # one word for each process
    set -- "$1" $(members)
    [ "$#" -eq 1 ] || kill -s "$@" 2>/dev/null
}

end() {
    while [ -n "$(members)" ]; do tell KILL; done
    wait
}

echo "$folder"
while read -r order rest; do
    case $order in
    run)
        (cd "$folder" && eval "exec $as $rest") </dev/null >>"$folder/log" 2>&1
        echo "$?"
        ;;
    start)
        # The server begins in the folder, so that it is a member from its first moment.
        cd "$folder" || exit
        eval "exec $as $rest" </dev/null >>"$folder/log" 2>&1 &
        cd /
        echo "$!"
        ;;
    signal)
        if [ "$rest" = KILL ]; then
            end
        else
            # The second time reaches those that started while the first was on its way.
            tell "$rest"
            tell "$rest"
        fi
        echo "done"
        ;;
    esac
done

# From here on, what this runs ignores the signals too: a search that a signal ends would find no one to kill.
trap '' HUP INT QUIT TERM PIPE
end
# A killed PostgreSQL leaves a segment of shared memory, whose number ends the seventh line of this file.
segment=$(sed -n '7s/.* //p' "$folder/data/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || $as ipcrm --shmem-id "$segment"
rm -rf -- "$folder"
