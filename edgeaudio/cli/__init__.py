"""The command ``edgeaudio``: one file per subcommand, each loaded only when it is called."""
