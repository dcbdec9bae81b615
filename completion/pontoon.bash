# bash completion for pontoon: commands and their options (asked of --help), values of options, and the names of what there is, asked of the daemon.
_pontoon_names() { # containers|running|images|networks|volumes|contexts
	case $1 in
	containers) pontoon $_pontoon_host ps -a --format '{{.Names}}' ;;
	running) pontoon $_pontoon_host ps --format '{{.Names}}' ;;
	images) pontoon $_pontoon_host images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;
	networks) pontoon $_pontoon_host network ls --format '{{.Name}}' ;;
	contexts) pontoon context ls --format '{{.Name}}' ;;
	volumes) pontoon $_pontoon_host volume ls --format '{{.Name}}' ;;
	esac 2>/dev/null
}

# What may follow an option that takes a value.
_pontoon_value() {
	case $1 in
	--network | --net | --config-from) _pontoon_names networks; [ "$1" != --config-from ] && echo bridge host none ;;
	--from) _pontoon_names contexts ;;
	--volumes-from | --link) _pontoon_names containers ;;
	--restart) echo no always unless-stopped on-failure ;;
	--log-driver) echo json-file local none ;;
	--pull) echo always missing never ;;
	--format) echo json table ;;
	--type) echo container image network volume ;;
	--driver) echo bridge host macvlan ipvlan ;;
	--signal | -s) echo HUP INT KILL QUIT STOP CONT TERM USR1 USR2 ;;
	--cap-add | --cap-drop) echo ALL AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_ADMIN NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_PTRACE SYS_TIME ;;
	esac
}

# Takes a value: has a word after it in --help.
_pontoon_takes_value() { # help text, option
	printf '%s\n' "$1" | grep -qE -- "^ +(-., )?$2 [a-z]|^ +$2, --[a-z0-9-]+ [a-z]"
}

_pontoon() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i=1 cmd="" group="" args=0 word help words="" groups _pontoon_host=""
	COMPREPLY=()
	while [ $i -lt "$COMP_CWORD" ]; do
		word=${COMP_WORDS[i]}
		case $word in
		-H | --host) i=$((i + 1)); _pontoon_host="-H ${COMP_WORDS[i]}" ;;
		-c | --context) i=$((i + 1)); _pontoon_host="-c ${COMP_WORDS[i]}" ;;
		--config | --tlscacert | --tlscert | --tlskey) i=$((i + 1)) ;;
		-*) ;;
		*) break ;;
		esac
		i=$((i + 1))
	done
	groups=$(pontoon --help 2>/dev/null | sed -n '/^Management/,/^$/s/^  \([a-z]*\) .*/\1/p')
	if [ $i -lt "$COMP_CWORD" ]; then
		cmd=${COMP_WORDS[i]}
		i=$((i + 1))
		case " $(echo $groups) " in *" $cmd "*)
			group=$cmd cmd=""
			if [ $i -lt "$COMP_CWORD" ]; then cmd=${COMP_WORDS[i]} i=$((i + 1)); fi ;;
		esac
	fi
	if [ -z "$cmd" ]; then
		case $group:$prev in :-c | :--context) COMPREPLY=($(compgen -W "$(_pontoon_host="" _pontoon_names contexts)" -- "$cur")); return ;; esac
		case $cur in
		-*) [ -z "$group" ] && words="--config --context --host --tls --tlsverify --tlscacert --tlscert --tlskey --version --help" ;;
		*) words=$(pontoon $group --help 2>/dev/null | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p') ;;
		esac
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
		return
	fi
	help=$(pontoon $group "$cmd" --help 2>/dev/null)
	case $prev in -*)
		if _pontoon_takes_value "$help" "$prev"; then
			words=$(_pontoon_value "$prev")
			if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); else COMPREPLY=($(compgen -f -- "$cur")); fi
			return
		fi ;;
	esac
	case $cur in -*)
		COMPREPLY=($(compgen -W "$(printf '%s\n' "$help" | grep -oE -- '^ .{5}--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+') --help" -- "$cur"))
		return ;;
	esac
	for (( ; i < COMP_CWORD; i++)); do # arguments before this one
		case ${COMP_WORDS[i]} in
		-*) _pontoon_takes_value "$help" "${COMP_WORDS[i]}" && i=$((i + 1)) ;;
		*) args=$((args + 1)) ;;
		esac
	done
	case $group:$cmd in
	context:use | context:rm | context:remove | context:update | context:inspect) words=$(_pontoon_names contexts) ;;
	context:*) return ;;
	*:run | *:create) if [ "$group" = network ] || [ "$group" = volume ]; then return; fi; [ $args -eq 0 ] && words=$(_pontoon_names images) ;;
	:rmi | *:tag | *:history | *:push | *:pull | *:save | image:*) words=$(_pontoon_names images) ;;
	network:connect | network:disconnect) if [ $args -eq 0 ]; then words=$(_pontoon_names networks); else words=$(_pontoon_names containers); fi ;;
	network:rm | network:remove | network:inspect) words=$(_pontoon_names networks) ;;
	volume:rm | volume:remove | volume:inspect) words=$(_pontoon_names volumes) ;;
	*:exec | *:attach | *:top | *:stop | *:kill | *:pause) if [ $args -eq 0 ] || [ "$cmd" != exec ]; then words=$(_pontoon_names running); fi ;;
	*:import | *:load) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	*:cp) COMPREPLY=($(compgen -S : -W "$(_pontoon_names containers)" -- "$cur") $(compgen -f -- "$cur")); return ;;
	:inspect) words="$(_pontoon_names containers) $(_pontoon_names images) $(_pontoon_names networks) $(_pontoon_names volumes)" ;;
	system:* | :version | :info | :events | :doctor | :exposure | *:ls | *:list | *:ps | :images | :search | :login | :logout | *:prune) return ;;
	*) words=$(_pontoon_names containers) ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	# bash cuts words at colons: what was typed before the last one is there already
	case $cur in *:*) COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}") ;; esac
}
complete -F _pontoon pontoon
