# What this instance can reach: one line of JSON per probe, and nothing left behind.
#
# Run by `sh`, as root through AWS-RunShellScript, by other ways as whoever logs in: it needs no
# privilege. In front of this text stand assignments of bucket, region, prefix, other_region,
# other_bucket, internet and writes (yes or no).
set -u
umask 077

# Only the instance's own role may answer: credentials, profiles and endpoints that somebody has
# set up for root would be checked instead of it. Proxies stay: what they let through is let through.
for name in $(env | sed -n 's/^\(AWS_[A-Z0-9_]*\)=.*/\1/p'); do
    case $name in
        AWS_CA_BUNDLE | AWS_EC2_METADATA_SERVICE_ENDPOINT*) ;;
        *) unset "$name" ;;
    esac
done
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_MAX_ATTEMPTS=1 AWS_PAGER='' AWS_S3_US_EAST_1_REGIONAL_ENDPOINT=regional LC_ALL=C
# The agent's search path is short; the AWS CLI is often installed beside it.
PATH=$PATH:/usr/local/bin:/snap/bin

metadata=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
# The last resort. The connect timeout counts per address, and S3 answers with up to eight.
limit=
if command -v timeout >/dev/null; then limit='timeout 40'; fi
work=$(mktemp -d) || exit 1
child='' others='' leftover=''

clean_up() {
    # A second signal must not stop this; `:` and not '', which the children would inherit.
    trap : HUP INT PIPE TERM
    # shellcheck disable=SC2086 # none, one or more process ids
    kill $child $others 2>/dev/null
    # A write that is still under way could land after the delete.
    if [ -n "$child" ]; then wait "$child"; fi
    if [ -n "$leftover" ]; then (s3api "$region" delete-object --bucket "$bucket" --key "$key"); fi
    rm -rf "$work"
} >/dev/null 2>&1
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE # nobody listens any more
trap 'exit 143' TERM

s3api() { # Region, arguments: replaces the calling subshell, whose id is then the command's own
    at=$1
    shift
    # shellcheck disable=SC2086 # two words, or none
    exec $limit aws s3api "$@" --region "$at" --output json \
        --cli-connect-timeout 3 --cli-read-timeout 10
}

imds() { # path, arguments: from the instance metadata service, version 2, never by a proxy
    path=$1
    shift
    curl -q --silent --show-error --fail --noproxy '*' --connect-timeout 1 --max-time 3 "$@" \
        "${metadata%/}/latest/$path"
}

identity() { # not by STS, which a gateway endpoint gives no way to
    token=$(imds api/token --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60') ||
        return
    for path in instance-id placement/region iam/security-credentials/; do
        imds "meta-data/$path" --header "X-aws-ec2-metadata-token: $token" || return
        echo
    done
}

sha256() {
    { sha256sum || shasum -a 256; } <"$1" 2>/dev/null | cut -c 1-64
}

compare() { # is the object that was read the one that was written?
    wrote=$(sha256 "$work/object") got=$(sha256 "$work/copy")
    if [ -n "$wrote" ] && [ "$wrote" = "$got" ]; then return; fi
    echo "checksum differs: wrote ${wrote:-nothing}, read ${got:-nothing}" >"$work/read.err"
    return 1
}

run() { # probe, command: in the background, because a signal only interrupts `wait`
    probe=$1 began=$(date +%s)
    shift
    "$@" >"$work/$probe.out" 2>"$work/$probe.err" &
    child=$!
    wait "$child"
    code=$?
    child=
}

text() { # bytes, file: its end, as one line of plain characters, ready to stand in a JSON string
    tail -c "$1" "$2" | tr -s '[:space:]' ' ' | tr -c ' -~' '?' | sed 's/["\\]/\\&/g'
}

report() { # one line by one write, so that lines of probes that run side by side do not mix
    printf '{"probe":"%s","exit":%d,"seconds":%d,"stdout":"%s","stderr":"%s"}\n' \
        "$probe" "$code" "$(($(date +%s) - began))" \
        "$(text 200 "$work/$probe.out")" "$(text 600 "$work/$probe.err")"
}

probe() {
    run "$@"
    report
}

# These two must time out. They wait beside the others; when interrupted, their commands end by
# their own limits.
probe internet curl -q --silent --show-error --output /dev/null --write-out 'HTTP %{http_code}' \
    --connect-timeout 3 --max-time 10 "$internet" &
others=$!
probe other-region s3api "$other_region" list-objects-v2 --bucket "$other_bucket" \
    --no-paginate --max-keys 1 --query KeyCount &
others="$others $!"

probe identity identity
probe list s3api "$region" list-objects-v2 --bucket "$bucket" \
    --no-paginate --max-keys 5 --query "join(' ', ['keys:', to_string(KeyCount)])"

if [ "$writes" = yes ]; then
    instance=$(grep -x 'i-[0-9a-f]*' "$work/identity.out" || echo "unknown-$$")
    key=$prefix/$instance
    named="'s3://$bucket/$key'"
    echo "Written by a check from $instance in $work; may be deleted." >"$work/object"
    leftover=yes
    probe write s3api "$region" put-object --bucket "$bucket" --key "$key" \
        --body "$work/object" --query "$named"
    run read s3api "$region" get-object --bucket "$bucket" --key "$key" \
        --query "$named" "$work/copy"
    if [ "$code" -eq 0 ]; then compare || code=1; fi
    report
    probe delete s3api "$region" delete-object --bucket "$bucket" --key "$key" --query "$named"
    leftover=
fi
wait
exit 0
