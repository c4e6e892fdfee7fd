complete --keep-order --exclusive --command vrift --arguments "(VRIFT_COMPLETE=fish vrift -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
