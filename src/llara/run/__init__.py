"""The application: settings, run folder, stages; everything that a command does, callable without a terminal."""
