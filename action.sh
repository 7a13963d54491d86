#!/bin/sh
# The steps of the GitHub Action in action.yml: `action.sh STEP`. What the workflow says is in INPUT_*.
set -eu

fail() {
	printf '::error title=OpenIRSA::%s\n' "$(printf '%s' "$1" | tr '\r\n' '  ')"
	exit 1
}

# tell FILE NAME VALUE hands a value to the workflow or to later steps. A second line would be another value.
tell() {
	case $3 in
	*"
"*) fail "$2 has more than one line" ;;
	esac
	printf '%s=%s\n' "$2" "$3" >>"$1"
}

# boolean NAME VALUE
boolean() {
	case $2 in
	true | false) ;;
	*) fail "$1 is neither true nor false" ;;
	esac
}

# plain NAME VALUE refuses what is no name.
plain() {
	case $2 in
	-* | *[!0-9A-Za-z.-]*) fail "$1 has other characters than letters, digits, dots and hyphens" ;;
	esac
}

# released is the newest version in the changelog that came with this action; nothing before the first one.
released() {
	sed -n 's/^## \[\{0,1\}v\{0,1\}\([0-9][0-9A-Za-z.+-]*\).*/\1/p' "$GITHUB_ACTION_PATH/CHANGELOG.md" | head -n 1
}

install() {
	dir=$RUNNER_TEMP/openirsa/bin
	OPENIRSA_RELEASES=$INPUT_DOWNLOAD_URL sh "$GITHUB_ACTION_PATH/install.sh" --version "${INPUT_VERSION:-$(released)}" --dir "$dir" ||
		fail "openirsa was not installed"
	printf '%s\n' "$dir" >>"$GITHUB_PATH"
	tell "$GITHUB_OUTPUT" path "$dir"
	tell "$GITHUB_OUTPUT" version "$("$dir/openirsa" --version)"
}

kind_cluster() {
	boolean kind "$INPUT_KIND"
	boolean emulator "$INPUT_EMULATOR"
	plain cluster-name "$INPUT_CLUSTER_NAME"
	plain region "$INPUT_REGION"
	command -v kind >/dev/null || fail "there is no kind on this runner: install it in a step before this one"
	set -- create cluster
	if [ "$INPUT_EMULATOR" = true ]; then
		# With the issuer from the start, the API server need not restart.
		file=$RUNNER_TEMP/openirsa/kind.yaml
		openirsa kind-config --emulator ${INPUT_CLUSTER_NAME:+--name "$INPUT_CLUSTER_NAME"} ${INPUT_REGION:+--region "$INPUT_REGION"} \
			${INPUT_KIND_CONFIG:+--merge "$INPUT_KIND_CONFIG"} >"$file" || fail "there is no configuration for kind"
		set -- "$@" --config "$file"
	else
		set -- "$@" ${INPUT_CLUSTER_NAME:+--name "$INPUT_CLUSTER_NAME"} ${INPUT_KIND_CONFIG:+--config "$INPUT_KIND_CONFIG"}
	fi
	kind "$@" || fail "kind created no cluster"
}

up() {
	boolean up "$INPUT_UP"
	boolean emulator "$INPUT_EMULATOR"
	plain cluster-name "$INPUT_CLUSTER_NAME"
	set -- ${INPUT_CLUSTER_NAME:+--kind-name "$INPUT_CLUSTER_NAME"}
	openirsa up "$@" --emulator="$INPUT_EMULATOR" --expires "$INPUT_EXPIRES" ${INPUT_REGION:+--region "$INPUT_REGION"} \
		${INPUT_IMAGE:+--image "$INPUT_IMAGE"} ${INPUT_CONFIG:+--config "$INPUT_CONFIG"} || fail "the chain was not made"
	printf '%s\n' "$INPUT_SERVICE_ACCOUNTS" | while read -r account policies; do
		[ -n "$account" ] || continue
		case $account in
		*/*) ;;
		*) fail "service-accounts: a line does not begin with NAMESPACE/NAME" ;;
		esac
		openirsa iamserviceaccount create "$@" --namespace "${account%%/*}" --name "${account#*/}" --attach-policy-arn "$policies" \
			--approve </dev/null || fail "a service account got no role"
	done
	report=$(openirsa status "$@" --output json) || fail "the chain is not whole"
	tell "$GITHUB_OUTPUT" issuer "$(printf '%s\n' "$report" | sed -n 's/^ *"issuer": *"\([^"]*\)".*/\1/p' | head -n 1)"
}

# forward PORT keeps a port of the runner open to the emulator, until the cluster is gone.
forward() {
	failed=0
	while [ "$failed" -lt 10 ]; do
		began=$(date +%s)
		kubectl ${INPUT_CLUSTER_NAME:+--context "kind-$INPUT_CLUSTER_NAME"} --namespace openirsa-system \
			port-forward --address 127.0.0.1 service/emulator "$1:4566" || :
		[ $(($(date +%s) - began)) -gt 5 ] && failed=0 || failed=$((failed + 1))
		sleep 1
	done
}

emulator() {
	plain cluster-name "$INPUT_CLUSTER_NAME"
	plain region "$INPUT_REGION"
	command -v kubectl >/dev/null || fail "there is no kubectl on this runner: install it in a step before this one"
	for port in 4566 14566 24566 34566; do
		log=$RUNNER_TEMP/openirsa/forward-$port.log
		nohup sh "$0" forward "$port" >"$log" 2>&1 </dev/null &
		waited=0
		while [ "$waited" -lt 60 ] && ! grep -q "Forwarding from 127.0.0.1:$port" "$log" && ! grep -q 'address already in use' "$log"; do
			sleep 1
			waited=$((waited + 1))
		done
		if grep -q "Forwarding from 127.0.0.1:$port" "$log"; then
			endpoint=http://127.0.0.1:$port
			tell "$GITHUB_OUTPUT" endpoint "$endpoint"
			region=${INPUT_REGION:-us-east-1}
			for pair in "AWS_ENDPOINT_URL=$endpoint" AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_SESSION_TOKEN= \
				"AWS_REGION=$region" "AWS_DEFAULT_REGION=$region"; do
				tell "$GITHUB_ENV" "${pair%%=*}" "${pair#*=}"
			done
			return
		fi
		kill $! 2>/dev/null || :
		cat "$log"
	done
	fail "the emulator cannot be reached from the runner"
}

case ${1:-} in
install | up | emulator) "$1" ;;
kind) kind_cluster ;;
forward) forward "$2" ;;
*) fail "usage: action.sh install|kind|up|emulator" ;;
esac
