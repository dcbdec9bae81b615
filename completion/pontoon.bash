# bash completion for pontoon: commands, their options (asked of --help), and names of containers, images and networks.
_pontoon() {
	local cur=${COMP_WORDS[COMP_CWORD]} i=1 cmd="" group=""
	COMPREPLY=()
	while [ $i -lt "$COMP_CWORD" ]; do
		case ${COMP_WORDS[i]} in
		-H | --host) i=$((i + 1)) ;;
		-*) ;;
		container | image | network | system) [ -z "$cmd$group" ] && group=${COMP_WORDS[i]} ;;
		*) [ -z "$cmd" ] && cmd=${COMP_WORDS[i]} ;;
		esac
		i=$((i + 1))
	done
	if [ -z "$cmd" ]; then
		COMPREPLY=($(compgen -W "$(pontoon $group --help 2>/dev/null | sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p') $([ -z "$group" ] && echo container image network system)" -- "$cur"))
		return
	fi
	case $cur in
	-*) COMPREPLY=($(compgen -W "$(pontoon $group "$cmd" --help 2>/dev/null | grep -oE -- '--[a-z0-9-]+')" -- "$cur")) ;;
	*)
		case $group:$cmd in
		*:run | *:create | *:rmi | *:tag | *:history | image:*) COMPREPLY=($(compgen -W "$(pontoon images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null)" -- "$cur")) ;;
		network:*) COMPREPLY=($(compgen -W "$(pontoon network ls --format '{{.Name}}' 2>/dev/null)" -- "$cur")) ;;
		*:import | *:load) COMPREPLY=($(compgen -f -- "$cur")) ;;
		*) COMPREPLY=($(compgen -W "$(pontoon ps -a --format '{{.Names}}' 2>/dev/null)" -- "$cur")) ;;
		esac ;;
	esac
}
complete -F _pontoon pontoon
