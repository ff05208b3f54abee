# Nothing: what a job costs that is not its own.
