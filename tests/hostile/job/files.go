package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(){
	"file_names":     fileNames,
	"file_links":     fileLinks,
	"file_special":   fileSpecial,
	"file_hard":      fileHard,
	"file_modes":     fileModes,
	"file_logs":      fileLogs,
	"file_log_left":  fileLogLeft,
	"file_forged":    fileForged,
	"file_terminal":  fileTerminal,
	"file_summary":   fileSummary,
	"file_read_only": fileReadOnly,
})

func write(name, text string) {
	must(os.WriteFile(filepath.Join(outputDir, name), []byte(text), 0o644))
}

// fileNames makes files of every name that some program stumbles over.
func fileNames() {
	write("plain.txt", "x")
	write("... dots and blanks ", "x")
	for _, name := range []string{
		"new\nline", "tab\there", "\x1b[2Jclear", "\xff\xfeinvalid", "bell\a", "\u202egnp.exe",
		"\u2028separator", "nul\u200bwidth",
	} {
		write(name, "x")
	}
	write(strings.Repeat("n", 255), "x")
	write("=cmd|' calc'!A0", "x")
	write("-rf", "x")
	_, err := os.Create(filepath.Join(outputDir, strings.Repeat("n", 256)))
	try("a name of 256 bytes", err)
	_, err = os.Create(outputDir + "/../beside")
	try("a file beside the output directory", err)
}

// fileLinks makes symbolic links to everywhere.
func fileLinks() {
	write("plain.txt", "mine")
	must(os.Mkdir(outputDir+"/sub", 0o755))
	for name, target := range map[string]string{
		"shadow": "/etc/shadow", "up": "../../../../../../../../etc/passwd", "root": "/", "other": "../../../..",
		"inside": "plain.txt", "dir": "sub", "self": "self", "sub/above": "..", "proc": "/proc/self/root", "fd": "/proc/self/fd/0",
		"summary.json": "/etc/shadow", "config": "../run_config.json",
	} {
		must(os.Symlink(target, filepath.Join(outputDir, name)))
	}
}

// fileSpecial makes what blocks or does something when it is opened.
func fileSpecial() {
	write("plain.txt", "x")
	must(unix.Mkfifo(outputDir+"/fifo", 0o666))
	must(unix.Mkfifo(outputDir+"/summary.json", 0o666))
	l, err := net.Listen("unix", outputDir+"/socket")
	must(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	try("a character device", unix.Mknod(outputDir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	try("a block device", unix.Mknod(outputDir+"/disk", unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0))))
	// A device 0:0 needs no right since Linux 5.8; no driver answers it.
	_ = unix.Mknod(outputDir+"/whiteout", unix.S_IFCHR|0o666, 0)
}

// fileHard links files that are not the job's into its results.
func fileHard() {
	write("plain.txt", "x")
	write("one", "x")
	must(os.Link(outputDir+"/one", outputDir+"/two"))
	for _, path := range []string{"/lynx/run_config.json", "/lynx/shim", "/hostile", workDir + "/file_hard", "/etc/hostname", "/proc/self/exe"} {
		try("link "+path, os.Link(path, outputDir+"/stolen"))
	}
	try("link a log into the output", os.Link(logDir+"/stdout.log", outputDir+"/stolen"))
}

// fileModes takes the runner's and the owner's permissions away.
func fileModes() {
	write("none", "x")
	must(os.Chmod(outputDir+"/none", 0))
	must(os.MkdirAll(outputDir+"/closed/inner", 0o755))
	write("closed/inner/file", "x")
	must(os.Chmod(outputDir+"/closed/inner", 0))
	must(os.Chmod(outputDir+"/closed", 0o600))
	write("program", "#!/bin/sh\n")
	must(os.Chmod(outputDir+"/program", 0o777))
	must(unix.Chmod(outputDir+"/program", 0o6777))
	must(os.Mkdir(outputDir+"/sticky", 0o777))
	must(unix.Chmod(outputDir+"/sticky", 0o7777))
	try("give a file to root", os.Chown(outputDir+"/program", 0, 0))
	must(unix.Setxattr(outputDir+"/program", "user.note", []byte("x"), 0))
	try("a file capability", unix.Setxattr(outputDir+"/program", "security.capability", []byte("\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"), 0))
	f, err := os.Open(outputDir + "/program")
	must(err)
	try("an immutable file", unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10))
	must(os.Chmod(logDir, 0))
	must(os.Chmod(outputDir, 0))
}

// fileLogs puts other things in the place of its logs while the shim writes them.
func fileLogs() {
	for _, name := range []string{"stdout.log", "stderr.log"} {
		must(os.Remove(filepath.Join(logDir, name)))
		must(os.Symlink("/etc/shadow", filepath.Join(logDir, name)))
	}
	fmt.Fprintln(os.Stderr, "this goes nowhere")
	os.Exit(3)
}

// fileLogLeft leaves a trap of each kind in the log directory.
func fileLogLeft() {
	must(os.Symlink("/etc/shadow", logDir+"/link.log"))
	must(unix.Mkfifo(logDir+"/fifo.log", 0o666))
	must(os.Mkdir(logDir+"/dir", 0o755))
	must(os.WriteFile(logDir+"/dir/file", []byte("x"), 0o644))
	must(os.WriteFile(logDir+"/one.log", []byte("x"), 0o644))
	must(os.Link(logDir+"/one.log", logDir+"/two.log"))
	must(os.WriteFile(logDir+"/notes.log", []byte("mine"), 0o644))
	done("a log of its own")
}

// fileForged pretends to be the runner.
func fileForged() {
	write("manifest.json", `{"outcome":"completed","image_id":"sha256:0"}`)
	write("run_config.json", `{"seed":1}`)
	write("telemetry.parquet", "PAR1")
	for _, name := range []string{"/lynx/run_config.json", "/lynx/manifest.json", "/lynx/run/shim.json", workDir + "/file_forged"} {
		try("write "+name, os.WriteFile(name, []byte("{}"), 0o644))
	}
	try("rename the output directory", os.Rename(outputDir, "/lynx/elsewhere"))
	try("replace the log directory", os.Rename(logDir, outputDir+"/log"))
	try("remove the run configuration", os.Remove("/lynx/run_config.json"))
	try("change the run configuration's mode", os.Chmod("/lynx/run_config.json", 0o666))
	os.Exit(5)
}

// fileTerminal writes what draws on a terminal, or calculates in a spreadsheet.
func fileTerminal() {
	write("=HYPERLINK(1)", "x")
	write("summary.json", `{"=1+1": 1, "\u001b[31m": 2, "@SUM": 3, "fine": 4, "a,b": 5, "q\"": 6, "new\nline": 7}`)
	fmt.Fprint(os.Stderr, "\x1b]0;owned\a\x1b[2J\x1b[31m=cmd|' /C calc'!A0\u202e \xff\r\n")
	os.Exit(9)
}

// fileSummary writes a summary that is hard to read.
func fileSummary() {
	var b strings.Builder
	b.WriteString(`{"ok": 1, "huge": 1e999, "flag": true, "text": "NaN", "deep": ` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000))
	for i := range 5000 {
		fmt.Fprintf(&b, `, "k%d": %d`, i, i)
	}
	b.WriteString("}")
	write("summary.json", b.String())
}

// fileReadOnly looks for a place outside its directories to write to.
func fileReadOnly() {
	for _, dir := range []string{"/", "/etc", "/lynx", "/lynx/run", workDir, "/proc", "/sys", "/sys/fs/cgroup", "/dev", "/usr"} {
		try("make a file in "+dir, os.WriteFile(filepath.Join(dir, "trace"), nil, 0o644))
	}
	try("overwrite its own program", os.WriteFile("/hostile", nil, 0o755))
	try("overwrite the shim", os.WriteFile("/lynx/shim", nil, 0o755))
	try("remove the control socket", os.Remove("/lynx/run/control.sock"))
	try("remove the telemetry socket", os.Remove("/lynx/run/telemetry.sock"))
}
