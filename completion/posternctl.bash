# completion/posternctl.bash - completion of posternctl for bash
#
# Complete by itself: needs no helper of the package bash-completion. What the tables here
# say is compared with what the program says (tests/integration/test_ctl_pages.py).

_posternctl_verbs='audit call check diff explain list reload status suggest'

_posternctl_profiles='none confidential safe libvirt proxmox kubevirt openstack legacy'

_posternctl_commands='guest-sync-delimited guest-sync guest-ping guest-get-time guest-set-time
guest-info guest-shutdown guest-file-open guest-file-close guest-file-read guest-file-write
guest-file-seek guest-file-flush guest-fsfreeze-status guest-fsfreeze-freeze
guest-fsfreeze-freeze-list guest-fsfreeze-thaw guest-fstrim guest-suspend-disk
guest-suspend-ram guest-suspend-hybrid guest-network-get-interfaces guest-get-vcpus
guest-set-vcpus guest-get-disks guest-get-fsinfo guest-set-user-password
guest-get-memory-blocks guest-set-memory-blocks guest-get-memory-block-info
guest-exec-status guest-exec guest-get-host-name guest-get-users guest-get-timezone
guest-get-osinfo guest-ssh-get-authorized-keys
guest-ssh-add-authorized-keys guest-ssh-remove-authorized-keys guest-get-diskstats
guest-get-cpustats guest-network-get-route guest-get-load'

# The options of a verb, or of the program for none.
_posternctl_options() {
	local trail='--since --until --command --session -i --file -D --directory --uid'

	case $1 in
	audit) echo "$trail --denied -n --lines -f --follow --gaps -o --output --json -h --help" ;;
	call) echo '-s --socket -t --timeout -f --file --repeat --interval --pretty --json
		--no-sync -h --help' ;;
	check) echo '--policy-root --profile --json -h --help' ;;
	diff) echo '-c --control --json -h --help' ;;
	explain) echo '-f --file --policy-root --profile --json -h --help' ;;
	list) echo '--policy-root --profile --privileges --json -h --help' ;;
	reload | status) echo '-c --control -t --timeout --json -h --help' ;;
	suggest) echo "$trail --denied --json -h --help" ;;
	*) echo '-h --help -V --version' ;;
	esac
}

# What stands behind an option: a word for _posternctl_value; nothing: it takes no value.
_posternctl_kind() {
	case $1:$2 in
	explain:-f | explain:--file) echo rules ;;
	audit:-f) ;;
	*:--profile) echo profile ;;
	*:--policy-root | *:-D | *:--directory) echo folder ;;
	*:-f | *:-i | *:--file | *:-s | *:--socket | *:-c | *:--control) echo file ;;
	*:--command) echo command ;;
	*:-o | *:--output) echo form ;;
	*:-t | *:--timeout | *:--interval | *:--repeat | *:-n | *:--lines) echo other ;;
	*:--since | *:--until) echo time ;;
	*:--session | *:--uid) echo other ;;
	esac
}

# Words of the list $1 that begin with the word at hand.
_posternctl_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# Files that match $1, and folders on the way to them.
_posternctl_files() {
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -X "!$1" -- "$2"; compgen -d -- "$2")
}

_posternctl_value() {
	case $1 in
	profile) _posternctl_words "$_posternctl_profiles" "$2" ;;
	command) _posternctl_words "$_posternctl_commands" "$2" ;;
	form) _posternctl_words 'short verbose json' "$2" ;;
	time) _posternctl_words 'today yesterday now' "$2" ;;
	rules) _posternctl_files '*.conf' "$2" ;;
	file) _posternctl_files '*' "$2" ;;
	folder) _posternctl_files '' "$2" ;;
	esac
}

# A request of `explain` is JSON: the only command that fits becomes one.
_posternctl_request() {
	_posternctl_words "$_posternctl_commands" "$1"
	if [ "${#COMPREPLY[@]}" = 1 ]; then
		COMPREPLY=("'{\"execute\":\"${COMPREPLY[0]}\"}'")
	fi
}

# What is no option and no value of one.
_posternctl_operand() {
	case $1 in
	check | list) _posternctl_files '*.conf' "$2" ;;
	diff)
		_posternctl_files '*.conf' "$2"
		mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W 'installed running' -- "$2")
		if [[ profile: == "$2"* ]]; then
			compopt -o nospace 2>/dev/null
			COMPREPLY+=('profile:')
		fi
		;;
	call) [ "$3" = 0 ] && _posternctl_words "$_posternctl_commands" "$2" ;;
	explain) [ "$3" = 0 ] && _posternctl_request "$2" ;;
	esac
}

# The verb, and how many operands stand behind it before the word at hand.
_posternctl_look() {
	local i kind

	verb='' operands=0
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [ -z "$verb" ]; then
			[[ ${COMP_WORDS[i]} == -* ]] || verb=${COMP_WORDS[i]}
		elif [[ ${COMP_WORDS[i]} == -?* ]]; then
			kind=$(_posternctl_kind "$verb" "${COMP_WORDS[i]}")
			[ "${COMP_WORDS[i + 1]}" = = ] && ((i++))
			[ -n "$kind" ] && ((i++))
		else
			((operands++))
		fi
	done
}

_posternctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local before=${COMP_WORDS[COMP_CWORD > 1 ? COMP_CWORD - 2 : 0]} verb operands kind

	COMPREPLY=()
	_posternctl_look
	# Bash takes words apart at "=" and ":".
	if [ "$cur" = = ]; then
		cur=''
	elif [ "$prev" = = ]; then
		prev=$before
	elif [ "$verb" = diff ] && [ "$prev:$cur" = profile:: ]; then
		_posternctl_words "$_posternctl_profiles" ''
		return
	elif [ "$verb" = diff ] && [ "$before$prev" = profile: ]; then
		_posternctl_words "$_posternctl_profiles" "$cur"
		return
	fi
	kind=$(_posternctl_kind "$verb" "$prev")
	if [ -z "$verb" ] && [[ $cur != -* ]]; then
		_posternctl_words "$_posternctl_verbs" "$cur"
	elif [ -n "$verb" ] && [ -n "$kind" ]; then
		_posternctl_value "$kind" "$cur"
	elif [[ $cur == -* ]]; then
		_posternctl_words "$(_posternctl_options "$verb")" "$cur"
	else
		_posternctl_operand "$verb" "$cur" "$operands"
	fi
}

complete -F _posternctl posternctl
