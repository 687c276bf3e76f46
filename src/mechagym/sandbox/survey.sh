# Facts of a machine, for `sandbox/survey.py`: arguments MARK DEPTH FILES PREVIEWS.
# Plain POSIX sh and the smallest tools; every part begins with a line of MARK and its name.
mark=$1 depth=$2 most=$3 previews=$4
here=$(pwd)
part() { printf '\n%s%s\n' "$mark" "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }

part machine
printf 'workdir=%s\n' "$here"
printf 'user=%s\n' "$(id -un 2>/dev/null)"
printf 'system=%s\n' "$(uname -sr 2>/dev/null)"
printf 'architecture=%s\n' "$(uname -m 2>/dev/null)"
if has bash; then printf 'shell=bash\n'; else printf 'shell=sh\n'; fi
grep '^PRETTY_NAME=' /etc/os-release 2>/dev/null
printf 'nproc=%s\n' "$(nproc 2>/dev/null)"
grep '^MemTotal:' /proc/meminfo 2>/dev/null
cd /sys/fs/cgroup 2>/dev/null && for file in cpu.max memory.max cpu/cpu.cfs_quota_us \
    cpu/cpu.cfs_period_us memory/memory.limit_in_bytes
do
    [ -r "$file" ] && printf '%s=%s\n' "$file" "$(cat "$file" 2>/dev/null)"
done
cd "$here" 2>/dev/null || cd /
printf 'df=%s\n' "$(df -Pk . 2>/dev/null | tail -n 1)"

part tools
for tool in git curl wget make gcc g++ clang cmake ninja docker jq sed awk grep tar zip unzip \
    autoconf automake libtool pkg-config perl ruby sqlite3 psql nc ss rsync patch file xz gdb
do
    has "$tool" && printf '%s\n' "$tool"
done

part managers
for tool in apt-get apk dnf yum pacman zypper pip pip3 uv npm cargo gem
do
    has "$tool" && printf '%s\n' "$tool"
done

part environment
if has awk; then awk 'BEGIN { for (name in ENVIRON) print name }' </dev/null; fi

part ports
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null

# a name that begins with a dot is listed too, but what tools keep for themselves is passed over
walk() {
    for found in "$1"/* "$1"/.[!.]*
    do
        [ -e "$found" ] || [ -L "$found" ] || continue
        case ${found##*/} in .git | node_modules | __pycache__ | .venv | .cache) continue ;; esac
        printf '%s %s\n' "$2" "$found"
        if [ "$2" -lt "$depth" ] && [ -d "$found" ] && [ ! -L "$found" ]; then
            walk "$found" $(($2 + 1))
        fi
    done
}

part files
root=${here%/}
if [ -n "$root" ]; then all=$(walk "$root" 1 | head -n 5000); else all=""; fi
printf '%s\n' "$all" | grep -c . || :
printf '%s\n' "$all" | sort -n | head -n "$most" | while read -r level path
do
    [ -n "$path" ] && stat -c '%f|%s|%n' "$path" 2>/dev/null
done

part previews
printf '%s\n' "$all" | sort -n | while read -r level path
do
    [ -f "$path" ] && [ -s "$path" ] && [ ! -L "$path" ] && printf '%s\n' "$path"
done | head -n "$previews" | while read -r path
do
    printf '\n%spreview %s\n' "$mark" "$path"
    head -n 50 "$path" 2>/dev/null | head -c 2048
done

part languages
for program in python3 python node Rscript rustc go java
do
    if has "$program"; then
        case $program in
        # these two would leave files behind: counters of use, a map of performance data
        go) version=$(HOME=/nonexistent XDG_CONFIG_HOME=/nonexistent go version 2>&1) ;;
        java) version=$(java -XX:-UsePerfData -version 2>&1 | head -n 1) ;;
        *) version=$("$program" --version 2>&1 | head -n 1) ;;
        esac
        printf '%s=%s\n' "$program" "$version"
    fi
done

part packages
if has python3; then
    python3 -B -c 'import importlib.metadata as m
for d in sorted({"%s==%s" % (d.metadata["Name"], d.version) for d in m.distributions()})[:200]:
    print("python3=" + d)' 2>/dev/null
fi
for folder in /usr/lib/node_modules /usr/local/lib/node_modules
do
    [ -d "$folder" ] && for path in "$folder"/*; do printf 'node=%s\n' "${path##*/}"; done
done
if has Rscript; then
    for folder in /usr/lib/R/library /usr/lib/R/site-library /usr/local/lib/R/site-library
    do
        [ -d "$folder" ] && for path in "$folder"/*; do printf 'R=%s\n' "${path##*/}"; done
    done
fi
for path in "$HOME"/.cargo/registry/src/*/*
do
    [ -d "$path" ] && printf 'rust=%s\n' "${path##*/}"
done
for path in "${GOPATH:-$HOME/go}"/pkg/mod/*/*
do
    [ -d "$path" ] && printf 'go=%s\n' "${path##*/pkg/mod/}"
done

part end
