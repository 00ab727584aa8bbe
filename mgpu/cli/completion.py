"""mgpu completion: the scripts that let shells complete the commands (``mgpu.cli.complete``)."""

from __future__ import annotations

from typing import Final

import click

from mgpu.cli.base import COMPLETION, CONTEXT, emit

_BASH: Final = r"""# bash completion for mgpu
_mgpu_complete() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            command) _mgpu_command "$value" ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(VARIABLE=bash COMP_LINE=${COMP_LINE:0:COMP_POINT} "$1" </dev/null 2>/dev/null)
}

# What follows is a command of its own, from word $1 on.
_mgpu_command() {
    if declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        local word=${COMP_WORDS[COMP_CWORD]}
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -c -- "$word"; compgen -f -- "$word")
    else
        compopt -o default
    fi
}

complete -o nosort -F _mgpu_complete PROGRAMS
"""

_ZSH: Final = r"""#compdef PROGRAMS
_mgpu_complete() {
    local kind value text line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    local -a plain described
    while IFS=$'\t' read -r kind value text; do
        case $kind in
            (dir) _path_files -/ ;;
            (file) _files ;;
            (command) shift $value words; (( CURRENT -= value )); _normal; return ;;
            (plain) if [[ -n $text ]]; then
                        described+=("${value//:/\\:}:$text")
                    else
                        plain+=("$value")
                    fi ;;
        esac
    done < <(VARIABLE=zsh COMP_LINE=$line $words[1] </dev/null 2>/dev/null)
    (( $#described )) && _describe -V mgpu described
    (( $#plain )) && compadd -V mgpu -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _mgpu_complete "$@"
else
    compdef _mgpu_complete PROGRAMS
fi
"""

_FISH: Final = r"""# fish completion for mgpu
function __mgpu_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    set -lx COMP_LINE (commandline -cp)
    set -lx VARIABLE fish
    for line in ($words[1] </dev/null 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $token
            case file
                __fish_complete_path $token
            case command
                set -e VARIABLE
                set -l own (math $parts[2] + 1)
                set -l rest
                test $own -le (count $words); and set rest (string escape -- $words[$own..-1])
                complete -C (string join ' ' -- $rest $token)
            case plain
                echo $parts[2]
        end
    end
end

for program in PROGRAMS
    complete -c $program -k -f -a '(__mgpu_complete)'
end
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command("completion", context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete all commands of mgpu.

    Jobs, users, GPUs, classes, projects and reservations are those that there are now; without
    a scheduler there are none.

    Example for bash: eval "$(mgpu completion bash)"

    Example for zsh: eval "$(mgpu completion zsh)"

    Example for fish: mgpu completion fish | source
    """
    from mgpu.cli.main import programs

    names = " ".join(programs())
    emit(SCRIPTS[shell].replace("VARIABLE", COMPLETION).replace("PROGRAMS", names).rstrip())
