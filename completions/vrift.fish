# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vrift_global_optspecs
    string join \n C= store= config= color= q/quiet v/verbose h/help V/version
end

function __fish_vrift_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vrift_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vrift_using_subcommand
    set -l cmd (__fish_vrift_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vrift -n "__fish_vrift_needs_command" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_needs_command" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_needs_command" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_needs_command" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_needs_command" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_needs_command" -s V -l version -d 'Print version'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "enter" -d 'Start your shell in the workspace'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "exec" -d 'Run one command in the workspace'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "sync" -d 'Take the host directory\'s edits over into the workspace'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "status" -d 'Show the host\'s edits that are still to come in, and what the workspace has that the host directory has not'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "diff" -d 'Show what differs between two states'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "apply" -d 'Write the workspace\'s changes to the host directory'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "resolve" -d 'Decide conflicts: which version of a path the workspace has from now on'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "commit" -d 'Seal the workspace\'s state as a snapshot that survives a power cut'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "log" -d 'Show the workspace\'s line of snapshots, newest first'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "snapshot" -d 'List, show or delete snapshots'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "restore" -d 'Bring a state back into the workspace, all of it or some paths'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "undo" -d 'Bring back the workspace\'s state before the last change; again: the one before that'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "path" -d 'Print a path by which a file of the live session can be opened from outside'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "export" -d 'Write a state out as a directory, or as a tar archive'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "bundle" -d 'Carry a state to another store, as one file'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "fork" -d 'Make a new workspace that begins as another one is, or was'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "merge" -d 'Merge a workspace\'s changes into another one'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "workspace" -d 'List, rename, delete or prune workspaces'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "try" -d 'Try a command: run it in a throw-away fork, see what it changed, then decide'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "runs" -d 'List runs: live ones, what killed ones left, and finished ones, newest first'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "stop" -d 'End a live run, or all of a workspace'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "recover" -d 'Keep or drop what a run wrote that ended without taking it in'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "stats" -d 'Show what the store holds: for which project, in which workspace, and what sharing saves'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "gc" -d 'Remove from the store what nothing needs any more'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "verify" -d 'Look whether everything in the store is there and sound'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "project" -d 'List, forget or move the projects of the store'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "store" -d 'Destroy the store'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "config" -d 'Show every value that is set, and where'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "allow" -d 'Let the project\'s vrift.toml, as it is now, reach beyond the project'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "doctor" -d 'Check whether this machine can run vrift, and say what to change where it cannot'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "man" -d 'Print the manual page, or write one page a verb'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "answer" -d 'Answers a request from inside a run; what a run starts, not a person'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "checkpoint" -d 'Takes in what a live session has written so far; what a run starts, not a person'
complete -c vrift -n "__fish_vrift_needs_command" -f -a "flush" -d 'Writes out what runs have written; what a run starts, not a person'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -s w -l workspace -d 'The workspace to run in' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l fork -d 'Make this workspace first, as the other one is, and run in it' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l from -d 'Run on this state, and throw away what is written' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l cold -d 'Start this `own` directory empty: nothing of it is taken from the host at first' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l git -d 'Whether a repository that a `.git` file names (of a worktree, a submodule) may be written' -r -f -a "read-only\t'It cannot be changed'
shared\t'It is the host\'s own'"
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l rename -d 'How a directory that was there when the run began is renamed' -r -f -a "preload\t''
off\t''"
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l status-fd -d 'Write what happens as lines of JSON to this descriptor' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l max-staging -d 'End the session when what it has written takes more than this on the disk, as in 20GiB' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l max-files -d 'The same when it has written more names than this' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l max-store -d 'The same when the whole store takes more than this; then no session begins either' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l confine -d 'What outside the project cannot be written: none, home or host' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l net -d 'The network: host, none or own' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l cache -d 'What stays writable in a confined run: cargo, npm, pip, go, ccache, or a directory' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l bind -d 'Show a file or directory at another place: SRC:DST, or SRC:DST:ro to read it only' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l limit -d 'Limit what all processes of the session use together, as in mem=2G,cpus=1.5,pids=100' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l unlock -d 'Let a path of `[tier1]` be written in this run' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l projection -d 'What the files of the view are below: auto, stub, hardlink or copy' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l setenv -d 'Set a variable of the command' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l profile -d 'Let the keys of [profile.NAME] in vrift.toml, or in the user\'s configuration, count' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l no-sync -d 'Do not take over the host\'s edits first'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l watch -d 'Bring the host\'s edits into the view as they happen, as `vrift sync --watch` does'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l wait -d 'Wait for what the command leaves running in the background instead of ending it'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l discard -d 'Throw away what is written'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l discard-on-failure -d 'Throw away what is written unless the exit status is 0; else as --discard'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l apply -d 'When the exit status is 0, write what this run changed, and only that, to the host directory'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l no-psfs -d 'Ask the kernel about every path, below `[tier1]` too'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l psfs-stats -d 'Count what is answered without a system call, and say it at the end'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l snapshots -d 'Show the project\'s snapshots, read-only, below `.snapshots/` in the project'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l or-bare -d 'Where no run can be set up, run the command bare, in the directory itself, and say so'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l no-overlay -d 'Without namespaces and overlay: run the command in a plain copy of the workspace, at another path'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l root -d 'Be uid 0 inside'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l private-tmp -d 'Let /tmp and /var/tmp be the session\'s own, in memory and empty at first'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l clear-env -d 'Give the command none of the caller\'s variables, only vrift\'s own and those of --setenv'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -l dry-run -d 'Print what would be done to set the run up, and do nothing'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand enter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -s w -l workspace -d 'The workspace to run in' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l fork -d 'Make this workspace first, as the other one is, and run in it' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l from -d 'Run on this state, and throw away what is written' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l cold -d 'Start this `own` directory empty: nothing of it is taken from the host at first' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l git -d 'Whether a repository that a `.git` file names (of a worktree, a submodule) may be written' -r -f -a "read-only\t'It cannot be changed'
shared\t'It is the host\'s own'"
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l rename -d 'How a directory that was there when the run began is renamed' -r -f -a "preload\t''
off\t''"
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l status-fd -d 'Write what happens as lines of JSON to this descriptor' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l max-staging -d 'End the session when what it has written takes more than this on the disk, as in 20GiB' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l max-files -d 'The same when it has written more names than this' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l max-store -d 'The same when the whole store takes more than this; then no session begins either' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l confine -d 'What outside the project cannot be written: none, home or host' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l net -d 'The network: host, none or own' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l cache -d 'What stays writable in a confined run: cargo, npm, pip, go, ccache, or a directory' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l bind -d 'Show a file or directory at another place: SRC:DST, or SRC:DST:ro to read it only' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l limit -d 'Limit what all processes of the session use together, as in mem=2G,cpus=1.5,pids=100' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l unlock -d 'Let a path of `[tier1]` be written in this run' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l projection -d 'What the files of the view are below: auto, stub, hardlink or copy' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l setenv -d 'Set a variable of the command' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l profile -d 'Let the keys of [profile.NAME] in vrift.toml, or in the user\'s configuration, count' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l no-sync -d 'Do not take over the host\'s edits first'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l watch -d 'Bring the host\'s edits into the view as they happen, as `vrift sync --watch` does'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l wait -d 'Wait for what the command leaves running in the background instead of ending it'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l discard -d 'Throw away what is written'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l discard-on-failure -d 'Throw away what is written unless the exit status is 0; else as --discard'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l apply -d 'When the exit status is 0, write what this run changed, and only that, to the host directory'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l no-psfs -d 'Ask the kernel about every path, below `[tier1]` too'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l psfs-stats -d 'Count what is answered without a system call, and say it at the end'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l snapshots -d 'Show the project\'s snapshots, read-only, below `.snapshots/` in the project'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l or-bare -d 'Where no run can be set up, run the command bare, in the directory itself, and say so'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l no-overlay -d 'Without namespaces and overlay: run the command in a plain copy of the workspace, at another path'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l root -d 'Be uid 0 inside'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l private-tmp -d 'Let /tmp and /var/tmp be the session\'s own, in memory and empty at first'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l clear-env -d 'Give the command none of the caller\'s variables, only vrift\'s own and those of --setenv'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -l dry-run -d 'Print what would be done to set the run up, and do nothing'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -s w -l workspace -d 'The workspace that gets them' -r
complete -c vrift -n "__fish_vrift_using_subcommand sync" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l accept-deletions -d 'Take over the deletion of most of the project'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l watch -d 'Go on, and take each edit over as it happens, until ended by a signal'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l with-stdin -d 'End when standard input does'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand status" -s w -l workspace -d 'The workspace to show' -r
complete -c vrift -n "__fish_vrift_using_subcommand status" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand status" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand status" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand status" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand status" -l no-sync -d 'Do not look for edits of the host'
complete -c vrift -n "__fish_vrift_using_subcommand status" -l paths -d 'Show which paths are not just the host\'s, and which rule says so'
complete -c vrift -n "__fish_vrift_using_subcommand status" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand status" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand status" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s w -l workspace -d 'The workspace' -r
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l conflict -d 'Show the versions of a conflict: from the host\'s to the workspace\'s' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l name-status -d 'One line a path'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l stat -d 'How many lines were added and removed in each file'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s p -l patch -d 'A unified diff; the default'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l exit-code -d 'Exit with 1 if there are differences, and 0 if not'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s w -l workspace -d 'The workspace whose changes are written' -r
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l on-conflict -d 'What to do with a path that was changed on the host as well' -r -f -a "abort\t'Write nothing at all (the default)'
merge\t'Merge, by lines where it is text; if that is not possible write nothing at all'
keep-host\t'Leave the host\'s version, in conflict for the next sync'
overwrite\t'Write the workspace\'s version over it'
both\t'Leave the host\'s version and write the workspace\'s beside it, as PATH.WORKSPACE'"
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s n -l dry-run -d 'Show what would be written, and write nothing'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s p -l patch -d 'Print what would be written as a patch, and write nothing'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l materialize -d 'Write the named directories, which are the workspace\'s own, as mirrors: for an editor on the host'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s i -l interactive -d 'Ask for each path on the terminal'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -s w -d 'Whose conflicts' -r
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l host -l theirs -d 'Take the host\'s version; against another workspace, that one\'s'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l workspace -l ours -d 'Take the workspace\'s version'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l merge -d 'Merge both by lines; where they changed the same lines the conflict stays'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l edit -d 'Merge both in $VISUAL or $EDITOR, with conflict markers where they changed the same lines'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -l view -d 'Take what is in the view now, as a run has left it'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s m -l message -d 'What it is' -r
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s w -l workspace -d 'The workspace to seal' -r
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand commit" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand commit" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand commit" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand commit" -l no-sync -d 'Do not take over the host\'s edits first'
complete -c vrift -n "__fish_vrift_using_subcommand commit" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand commit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand log" -s w -l workspace -d 'The workspace to show' -r
complete -c vrift -n "__fish_vrift_using_subcommand log" -s n -l limit -d 'How many to show' -r
complete -c vrift -n "__fish_vrift_using_subcommand log" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand log" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand log" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand log" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand log" -l heads -d 'Every state it had instead, with its number for `@N`'
complete -c vrift -n "__fish_vrift_using_subcommand log" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand log" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand log" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -f -a "create" -d 'Make one; the same as `vrift commit`'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -f -a "list" -d 'List all snapshots of the project, newest first'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -f -a "show" -d 'Show one snapshot'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and not __fish_seen_subcommand_from create list show delete" -f -a "delete" -d 'Delete snapshots; the workspaces stay as they are'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s m -l message -d 'What it is' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s w -l workspace -d 'The workspace to seal' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l no-sync -d 'Do not take over the host\'s edits first'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand snapshot; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand restore" -s w -l workspace -d 'The workspace that gets it' -r
complete -c vrift -n "__fish_vrift_using_subcommand restore" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand restore" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand restore" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand restore" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand restore" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand restore" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand undo" -s w -l workspace -d 'The workspace' -r
complete -c vrift -n "__fish_vrift_using_subcommand undo" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand undo" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand undo" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand undo" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand undo" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand undo" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand path" -s w -l workspace -d 'The workspace whose session it is' -r
complete -c vrift -n "__fish_vrift_using_subcommand path" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand path" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand path" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand path" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand path" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand path" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand export" -l link -d 'Say what the files are made by; `--link=hard`: links to the store\'s own files, read-only' -r -f -a "auto\t'Reflinks, else copies'
hard\t'Read-only links to the store\'s files'"
complete -c vrift -n "__fish_vrift_using_subcommand export" -s w -l workspace -d 'The workspace that `@N` and `host` are about' -r
complete -c vrift -n "__fish_vrift_using_subcommand export" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand export" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand export" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand export" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand export" -l tar -d 'Write a tar archive (POSIX.1-2001) instead of a directory'
complete -c vrift -n "__fish_vrift_using_subcommand export" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand export" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -f -a "create" -d 'Write a state, with every file in it, to a file'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and not __fish_seen_subcommand_from create load" -f -a "load" -d 'Take a bundle in, as a snapshot of the project; no workspace changes'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand bundle; and __fish_seen_subcommand_from load" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand fork" -l from -d 'The state to begin at: a snapshot, a workspace, NAME~2, host, @N (after run N), @live, or the beginning of a digest' -r
complete -c vrift -n "__fish_vrift_using_subcommand fork" -s w -l workspace -d 'The workspace it leaves' -r
complete -c vrift -n "__fish_vrift_using_subcommand fork" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand fork" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand fork" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand fork" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand fork" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand fork" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand fork" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand fork" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l into -d 'The workspace that gets them' -r
complete -c vrift -n "__fish_vrift_using_subcommand merge" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l dry-run -d 'Show what would change, and change nothing'
complete -c vrift -n "__fish_vrift_using_subcommand merge" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand merge" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand merge" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand merge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -f -a "list" -d 'List the workspaces: which are live, what they changed, how old that is'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -f -a "rename" -d 'Give a workspace another name'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -f -a "delete" -d 'Delete workspaces; `vrift undo -w NAME` brings one back'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and not __fish_seen_subcommand_from list rename delete prune" -f -a "prune" -d 'Delete workspaces that are not needed any more; never `main`, never a live one'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -l stop -d 'End what runs in it first'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l older -d 'Those in which nothing changed for so long, as in 14d, 12h or 30m' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l merged -d 'Those whose changes are all in the workspace they were forked from'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -l dry-run -d 'Only name them'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand workspace; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l keep -d 'Keep what it did as a workspace of this name' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -s w -l workspace -d 'The workspace to run in' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l fork -d 'Make this workspace first, as the other one is, and run in it' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l from -d 'Run on this state, and throw away what is written' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l cold -d 'Start this `own` directory empty: nothing of it is taken from the host at first' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand try" -l git -d 'Whether a repository that a `.git` file names (of a worktree, a submodule) may be written' -r -f -a "read-only\t'It cannot be changed'
shared\t'It is the host\'s own'"
complete -c vrift -n "__fish_vrift_using_subcommand try" -l rename -d 'How a directory that was there when the run began is renamed' -r -f -a "preload\t''
off\t''"
complete -c vrift -n "__fish_vrift_using_subcommand try" -l status-fd -d 'Write what happens as lines of JSON to this descriptor' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l max-staging -d 'End the session when what it has written takes more than this on the disk, as in 20GiB' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l max-files -d 'The same when it has written more names than this' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l max-store -d 'The same when the whole store takes more than this; then no session begins either' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l confine -d 'What outside the project cannot be written: none, home or host' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l net -d 'The network: host, none or own' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l cache -d 'What stays writable in a confined run: cargo, npm, pip, go, ccache, or a directory' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l bind -d 'Show a file or directory at another place: SRC:DST, or SRC:DST:ro to read it only' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l limit -d 'Limit what all processes of the session use together, as in mem=2G,cpus=1.5,pids=100' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l unlock -d 'Let a path of `[tier1]` be written in this run' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l projection -d 'What the files of the view are below: auto, stub, hardlink or copy' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l setenv -d 'Set a variable of the command' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l profile -d 'Let the keys of [profile.NAME] in vrift.toml, or in the user\'s configuration, count' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand try" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand try" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand try" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand try" -l drop -d 'Drop what it did'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l no-sync -d 'Do not take over the host\'s edits first'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l watch -d 'Bring the host\'s edits into the view as they happen, as `vrift sync --watch` does'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l wait -d 'Wait for what the command leaves running in the background instead of ending it'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l discard -d 'Throw away what is written'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l discard-on-failure -d 'Throw away what is written unless the exit status is 0; else as --discard'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l apply -d 'When the exit status is 0, write what this run changed, and only that, to the host directory'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l no-psfs -d 'Ask the kernel about every path, below `[tier1]` too'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l psfs-stats -d 'Count what is answered without a system call, and say it at the end'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l snapshots -d 'Show the project\'s snapshots, read-only, below `.snapshots/` in the project'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l or-bare -d 'Where no run can be set up, run the command bare, in the directory itself, and say so'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l no-overlay -d 'Without namespaces and overlay: run the command in a plain copy of the workspace, at another path'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l root -d 'Be uid 0 inside'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l private-tmp -d 'Let /tmp and /var/tmp be the session\'s own, in memory and empty at first'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l clear-env -d 'Give the command none of the caller\'s variables, only vrift\'s own and those of --setenv'
complete -c vrift -n "__fish_vrift_using_subcommand try" -l dry-run -d 'Print what would be done to set the run up, and do nothing'
complete -c vrift -n "__fish_vrift_using_subcommand try" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand try" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand try" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand runs" -s n -l limit -d 'How many finished runs to list' -r
complete -c vrift -n "__fish_vrift_using_subcommand runs" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand runs" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand runs" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand runs" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand runs" -l watch -d 'Show the live ones, and go on: a line for each run that begins, and for each that ends'
complete -c vrift -n "__fish_vrift_using_subcommand runs" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand runs" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand runs" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand runs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand stop" -s w -l workspace -d 'All live runs of this workspace' -r
complete -c vrift -n "__fish_vrift_using_subcommand stop" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand stop" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand stop" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand stop" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand stop" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand stop" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l keep -d 'Take what was written into the workspace'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l drop -d 'Throw what was written away'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l diff -d 'Show what keeping it would change, as a patch'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand stats" -s w -l workspace -d 'The workspace whose files are shown' -r
complete -c vrift -n "__fish_vrift_using_subcommand stats" -l html -d 'Write one page that needs nothing else to be looked at' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand stats" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand stats" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand stats" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand stats" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand stats" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand stats" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand stats" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l grace -d 'Leave alone what was stored in the last so many seconds' -r
complete -c vrift -n "__fish_vrift_using_subcommand gc" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l dry-run -d 'Say what would be removed, and remove nothing'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l auto -d 'Started by itself: at idle priority, silent, and only if it is due'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l deep -d 'Hash every content, too; without it sizes and modes are looked at'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l repair -d 'Put right what can be, then look again'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -f -a "list" -d 'List the projects of the store'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -f -a "forget" -d 'Drop everything the store keeps of a project; the directory itself is not touched'
complete -c vrift -n "__fish_vrift_using_subcommand project; and not __fish_seen_subcommand_from list forget move" -f -a "move" -d 'Let a project be at another path: it was moved, copied, or restored from a backup'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand project; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand store; and not __fish_seen_subcommand_from destroy" -f -a "destroy" -d 'Remove the store with all that is in it: workspaces, snapshots, contents'
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -l yes -d 'Do not ask'
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand store; and __fish_seen_subcommand_from destroy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand config" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand config" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand config" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand config" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand config" -l all -d 'Show the keys that are not set, too'
complete -c vrift -n "__fish_vrift_using_subcommand config" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand config" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand config" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand allow" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand allow" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand allow" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand allow" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand allow" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand allow" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand allow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -l fix -d 'Print the commands that would change what is missing; none is run'
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -l json -d 'Print JSON on standard output; unknown members are to be ignored'
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand completions" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand completions" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand completions" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand completions" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand completions" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand completions" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand man" -l dir -d 'Write vrift.1 and a page for each verb to this directory' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand man" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand man" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand man" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand man" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand man" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand man" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand answer" -l root -d 'The project\'s directory' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand answer" -l of -d 'The run\'s workspace' -r
complete -c vrift -n "__fish_vrift_using_subcommand answer" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand answer" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand answer" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand answer" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand answer" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand answer" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand answer" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l root -d 'The project\'s directory' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l of -d 'The run\'s workspace' -r
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l younger -d 'Nothing is done when the last one is younger than so many seconds' -r
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand checkpoint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vrift -n "__fish_vrift_using_subcommand flush" -l after -d 'Seconds to wait first' -r
complete -c vrift -n "__fish_vrift_using_subcommand flush" -s C -d 'Go to this directory first, then look for the project' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand flush" -l store -d 'The store\'s directory (else VRIFT_STORE, else ~/.local/share/vrift)' -r -F
complete -c vrift -n "__fish_vrift_using_subcommand flush" -l config -d 'Set a configuration key for this command; VALUE is TOML, or plain text' -r
complete -c vrift -n "__fish_vrift_using_subcommand flush" -l color -d 'When to use colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vrift -n "__fish_vrift_using_subcommand flush" -s q -l quiet -d 'Say only what went wrong'
complete -c vrift -n "__fish_vrift_using_subcommand flush" -s v -l verbose -d 'Say more'
complete -c vrift -n "__fish_vrift_using_subcommand flush" -s h -l help -d 'Print help (see more with \'--help\')'
