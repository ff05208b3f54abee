//go:build engine

package hostile

import (
	"slices"

	"github.com/tetryx/lynx-runner/api"
)

// attacks are all the tables, the longest running first.
var attacks = slices.Concat(resources, files, processes, shimAttacks, telemetryAttacks, escapes, hostileImages)

const short = "job_timeout_seconds: 3"

var resources = []attack{
	{name: "stdout_flood", outcome: api.OutcomeCompleted, check: logsCut, artifacts: []string{}},
	{
		// The page tables of so many processes are memory of the job's.
		name: "fork_bomb", compute: short + ", container: {memory_request: 256Mi}", outcome: api.OutcomeTimeout, says: []string{"3s", "job_timeout_seconds"}, refused: []string{"another process"},
	},
	{name: "memory_bomb", outcome: api.OutcomeOutOfMemory, says: []string{"its main process was killed at the limit of 128Mi", "its peak was", "memory_request"}},
	{name: "memory_child", outcome: api.OutcomeCompleted, refused: []string{"a child beyond the limit on memory"}, warns: []string{"memory"}},
	{name: "memory_tmpfs", outcome: api.OutcomeOutOfMemory, says: []string{"128Mi"}},
	{name: "memory_shared", outcome: api.OutcomeOutOfMemory, says: []string{"128Mi"}},
	{name: "tmpfs_full", outcome: api.OutcomeCompleted, refused: []string{"64 MiB in /dev/shm", "64 MiB in HOME"}},
	{name: "disk_total", outcome: api.OutcomeOutputLimit, says: []string{"more than 64Mi in its output and logs", "output", "killed"}, check: overshoot},
	{name: "disk_log", outcome: api.OutcomeOutputLimit, says: []string{"more than 64Mi in its output and logs"}, check: overshoot},
	{name: "disk_log_burst", outcome: api.OutcomeOutputLimit, says: []string{"64Mi"}},
	{name: "disk_unlinked", outcome: api.OutcomeOutputLimit, says: []string{"64Mi"}},
	{name: "disk_mapped", outcome: api.OutcomeOutputLimit, says: []string{"64Mi"}},
	{name: "disk_one_file", outcome: api.OutcomeOutputLimit, says: []string{"32Mi in one file"}},
	{
		name: "disk_sparse", outcome: api.OutcomeCompleted, artifacts: []string{"sparse"},
		refused: []string{"a file of a tebibyte", "a byte at the end of a tebibyte"},
	},
	{
		name: "disk_allocated", outcome: api.OutcomeCompleted,
		refused: []string{
			"allocate blocks", "allocate blocks beyond the end", "allocate zeroes beyond the end",
			"FS_IOC_RESVSP", "FS_IOC_RESVSP64", "FS_IOC_ZERO_RANGE",
			"FS_IOC_RESVSP by the upper half", "FS_IOC_RESVSP64 by the upper half", "FS_IOC_ZERO_RANGE by the upper half",
		},
	},
	{name: "disk_files", outcome: api.OutcomeOutputLimit, says: []string{"more than 500 files"}},
	{name: "disk_deep", outcome: api.OutcomeOutputLimit, says: []string{"nested deeper than 32 directories"}},
	{
		name: "handles", outcome: api.OutcomeCompleted,
		refused: []string{
			"200000 open files", "200000 sockets", "200000 inotify instances", "200000 event counters",
			"200000 message queues", "200000 semaphore sets", "a higher limit on open files",
		},
	},
}

var files = []attack{
	{
		name: "file_names", outcome: api.OutcomeCompleted, warns: []string{"control characters", "not valid UTF-8"}, refused: []string{"a name of 256 bytes", "a file beside the output directory"},
		artifacts: []string{"plain.txt", "... dots and blanks ", "=cmd|' calc'!A0", "-rf", longName},
	},
	{name: "file_links", outcome: api.OutcomeCompleted, artifacts: []string{"plain.txt"}, warns: []string{`"shadow"`, "a symbolic link", "No metrics"}, check: noSecret},
	{name: "file_special", outcome: api.OutcomeCompleted, refused: []string{"a character device", "a block device"}, artifacts: []string{"plain.txt"}, warns: []string{"a FIFO", "a socket"}},
	{
		name: "file_hard", outcome: api.OutcomeCompleted, artifacts: []string{"plain.txt"}, warns: []string{"more than one hard link"},
		refused: []string{
			"link /lynx/run_config.json", "link /lynx/shim", "link /hostile", "link /lynx/work/file_hard", "link /etc/hostname",
			"link /proc/self/exe", "link a log into the output",
		},
	},
	{
		name: "file_modes", outcome: api.OutcomeCompleted, refused: []string{"give a file to root", "a file capability", "an immutable file"},
		artifacts: []string{"none", "closed/inner/file", "program"},
	},
	{name: "file_logs", outcome: api.OutcomeNonzeroExit, exit: 3, check: noSecret},
	{name: "file_log_left", outcome: api.OutcomeCompleted, done: []string{"a log of its own"}, warns: []string{"link.log", "fifo.log", "several links", `"dir"`}, check: noSecret},
	{
		name: "file_forged", outcome: api.OutcomeNonzeroExit, exit: 5, artifacts: []string{"manifest.json", "run_config.json", "telemetry.parquet"}, check: ownRecords,
		refused: []string{
			"write /lynx/run_config.json", "write /lynx/manifest.json", "write /lynx/run/shim.json", "write /lynx/work/file_forged",
			"rename the output directory", "replace the log directory", "remove the run configuration", "change the run configuration's mode",
		},
	},
	{name: "file_terminal", outcome: api.OutcomeNonzeroExit, exit: 9, says: []string{`\x1b[31m=cmd`}, artifacts: []string{"=HYPERLINK(1)", "summary.json"}, check: onlyMetrics("fine")},
	{name: "file_summary", outcome: api.OutcomeCompleted},
	{
		name: "file_read_only", outcome: api.OutcomeCompleted,
		refused: []string{
			"make a file in /", "make a file in /etc", "make a file in /lynx", "make a file in /lynx/run", "make a file in /lynx/work", "make a file in /proc",
			"make a file in /sys", "make a file in /sys/fs/cgroup", "make a file in /dev", "make a file in /usr",
			"overwrite its own program", "overwrite the shim", "remove the control socket", "remove the telemetry socket",
		},
	},
}

var processes = []attack{
	{name: "process_deaf", compute: short, outcome: api.OutcomeTimeout, done: []string{"ignore every signal"}},
	{name: "process_stopped", compute: short, outcome: api.OutcomeTimeout, done: []string{"stop"}},
	{name: "process_daemon", outcome: api.OutcomeCompleted, done: []string{"leave a daemon"}},
	{name: "process_stdio", outcome: api.OutcomeNonzeroExit, exit: 4, done: []string{"close the streams"}, artifacts: []string{"after"}},
	{name: "process_holder", outcome: api.OutcomeCompleted, done: []string{"leave children"}},
	{name: "process_zombies", outcome: api.OutcomeNonzeroExit, exit: 2, done: []string{"40 dead children and their children"}},
	{name: "process_massacre", outcome: api.OutcomeNonzeroExit, exit: 6, done: []string{"kill everybody"}},
}

var shimAttacks = []attack{
	{name: "shim_signals", outcome: api.OutcomeNonzeroExit, exit: 7, done: []string{"send every signal"}},
	{
		name: "shim_inspected", outcome: api.OutcomeNonzeroExit, exit: 8,
		refused: []string{
			"trace it", "seize it", "read its memory", "write its memory", "open /proc/1/mem", "open /proc/1/environ", "open /proc/1/auxv",
			"open /proc/1/syscall", "open /proc/1/stack", "open /proc/1/root", "open /proc/1/cwd", "open /proc/1/exe", "open /proc/1/fd/3", "open /proc/1/ns/net",
			"open /proc/1/map_files", "open /proc/1/io", "open /proc/1/personality", "write /proc/1/oom_score_adj", "write /proc/1/mem", "write /proc/1/timerslack_ns",
			"limit its open files", "limit its processor time", "limit its file size", "limit it by the upper half of an argument",
			"lower its priority", "make it idle", "make its disk idle", "take its files", "compare with it", "move its pages", "page it out",
		},
	},
	{name: "shim_pipes", outcome: api.OutcomeNonzeroExit, exit: 5, check: logsCut},
	{name: "shim_connections", outcome: api.OutcomeCompleted, done: []string{"a sample after 10000 connections"}, check: samples(1)},
	{name: "shim_control", outcome: api.OutcomeNonzeroExit, exit: 9, refused: []string{"be heard on the control socket"}},
	{
		name: "shim_socket", outcome: api.OutcomeCompleted, done: []string{"an interface lo"}, check: ownSockets,
		refused: []string{
			"dial /var/run/docker.sock", "dial /run/docker.sock", "dial /run/containerd/containerd.sock", "dial 169.254.169.254:80", "dial 172.17.0.1:2375",
			"dial 10.0.0.1:53", "dial [fe80::1]:80", "dial 1.1.1.1:53", "broadcast", "look a name up",
		},
	},
	{name: "shim_tails", outcome: api.OutcomeNonzeroExit, exit: 3},
}

var telemetryAttacks = []attack{
	{name: "telemetry_many", outcome: api.OutcomeCompleted, done: []string{"a stream of two million samples", "every batch acknowledged"}, check: samples(2_000_000)},
	{name: "telemetry_garbage", outcome: api.OutcomeCompleted, refused: []string{"call the platform's service here"}, done: []string{"a sample after garbage"}, check: samples(1)},
	{name: "telemetry_reset", outcome: api.OutcomeCompleted, done: []string{"a sample after a flood"}, check: samples(1)},
	{name: "telemetry_settings", outcome: api.OutcomeCompleted, done: []string{"a sample after a flood"}, check: samples(1)},
	{name: "telemetry_headers", outcome: api.OutcomeCompleted, done: []string{"a sample after a flood"}, check: samples(1)},
	{
		name: "telemetry_names", outcome: api.OutcomeCompleted, check: variables(1000),
		refused: []string{"a name of a mebibyte"}, done: []string{"a name of 201 bytes", "an empty name", "a hundred thousand names"},
		warns: []string{"more than 1000 variables", "empty or longer than 200 bytes"},
	},
	{
		name: "telemetry_values", outcome: api.OutcomeCompleted, done: []string{"numbers that are none", "a name that draws"},
		warns: []string{"their simulation time was not a finite number"},
	},
	{
		name: "telemetry_watched", outcome: api.OutcomeTelemetryInvalid, says: []string{"watched", "NaN"},
		more: "early_termination: {enabled: true, conditions: [{name: low, variable: watched, operator: lt, threshold: 0, units: ''}]}",
	},
	{
		name: "telemetry_identity", outcome: api.OutcomeCompleted, done: []string{"publish as itself"}, check: samples(1),
		refused: []string{
			`publish as "somebody-1"`, `stream as "somebody-1"`, `publish as "JOB-2"`, `stream as "JOB-2"`, `publish as "JOB"`, `stream as "JOB"`,
			`publish as "xxxxxxxxxxxx"`, `stream as "xxxxxxxxxxxx"`, `publish as "\x00"`, `stream as "\x00"`,
		},
	},
	{
		name: "telemetry_sequence", outcome: api.OutcomeCompleted, refused: []string{"the number 0"}, warns: []string{"never arrived"},
		done: []string{
			"the same number again and again", "everything once more", "a thousand numbers skipped", "the last number there is",
			"more samples dropped than there can be",
		},
		check: samples(4),
	},
	{name: "telemetry_half", outcome: api.OutcomeCompleted, done: []string{"leave 64 streams half open"}},
}

var noRights = []string{
	"be root", "be of the root group", "be of other groups", "have rights in CapInh", "have rights in CapPrm", "have rights in CapEff",
	"have rights in CapBnd", "have rights in CapAmb", "get new privileges", "call without a filter",
}

var escapes = []attack{
	{name: "escape_calls", outcome: api.OutcomeCompleted, refused: forbiddenCalls},
	{name: "escape_namespaces", outcome: api.OutcomeCompleted, refused: forbiddenNamespaces()},
	{name: "escape_sockets", outcome: api.OutcomeCompleted, refused: forbiddenSockets()},
	{name: "escape_abi", outcome: api.OutcomeCompleted, refused: []string{"a system call of 32 bits", "a system call of x32"}},
	{name: "escape_kernel", outcome: api.OutcomeCompleted, refused: forbiddenPaths()},
	{name: "escape_setuid", image: "setuid", outcome: api.OutcomeCompleted, refused: slices.Concat(noRights, []string{
		"give the program in /tmp to root", "give the program in /lynx/output to root", "give the program in /dev/shm to root",
	})},
	{name: "escape_privileges", outcome: api.OutcomeCompleted, refused: slices.Concat(noRights, []string{
		"take no_new_privs back", "keep capabilities", "set a capability", "turn the filter off",
	})},
	{name: "escape_devices", outcome: api.OutcomeCompleted, refused: forbiddenDevices()},
}

// imageRefused is what no image gets for its job.
var imageRefused = slices.Concat(noRights, []string{
	"start in a place of the image's choice", "start with arguments of the image's choice", "be started by the image's entrypoint",
	"set LD_PRELOAD", "set EVIL", "set GODEBUG", "set GOTRACEBACK", "set PYTHONSTARTUP", "set BASH_ENV", "set http_proxy", "set NVIDIA_VISIBLE_DEVICES",
	"change PATH", "change TETRYX_OUTPUT_DIR", "change HOME", "256 MiB in a volume",
})

func hostileImage(image string) attack {
	return attack{name: "image_" + image, run: "image", image: image, outcome: api.OutcomeCompleted, refused: imageRefused}
}

var hostileImages = []attack{
	hostileImage("plain"),
	// The volume is memory of the job's, and smaller than the file system of the host.
	{name: "image_volume", run: "image", image: "volume", outcome: api.OutcomeOutOfMemory, refused: imageRefused[:len(imageRefused)-1]},
	{name: "image_volume-system", run: "image", image: "volume-system", outcome: api.OutcomeInvalidJob, says: []string{"declares a volume"}},
	{name: "image_volume-output", run: "image", image: "volume-output", outcome: api.OutcomeInvalidJob, says: []string{"declares a volume"}},
	hostileImage("healthcheck"),
	hostileImage("entrypoint"),
	hostileImage("workdir"),
	hostileImage("user"),
	hostileImage("user-name"),
	hostileImage("onbuild"),
	hostileImage("env"),
	hostileImage("labels"),
}
