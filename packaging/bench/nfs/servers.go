package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one that runs; its processes are all that it started.
type server struct {
	dir  string
	run  string // of our sockets
	cmd  *exec.Cmd
	more []*exec.Cmd
}

func startServer(name, dir, state string) (*server, error) {
	if name == "dittofs" {
		return startDittofs(dir, state)
	}
	return startGanesha(dir, state)
}

func startDittofs(dir, state string) (*server, error) {
	s := &server{dir: dir, run: filepath.Join(state, "run"), cmd: exec.Command(filepath.Join(*bin, "dittofs"), "up", dir, "--state", state, "--listen", "127.0.0.1", "--log-level", "warn")}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "ready ") {
			go io.Copy(io.Discard, out)
			return s, nil
		}
	}
	s.cmd.Wait()
	return nil, fmt.Errorf("dittofs up ended before it was ready")
}

// ganesha is its configuration: its defaults, without the grace period that each start begins with, and with the file system below named by hand because a tmpfs has no identity.
const ganesha = `NFS_CORE_PARAM { NFS_Protocols = 3; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; }
LOG { Default_Log_Level = WARN; }
EXPORT { Export_Id = 1; Path = %q; Pseudo = %q; Protocols = 3; Access_Type = RW; Squash = Root_Squash; SecType = sys; Filesystem_Id = 7.7; FSAL { Name = VFS; } }
`

func startGanesha(dir, state string) (*server, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	conf, log := filepath.Join(state, "ganesha.conf"), filepath.Join(state, "ganesha.log")
	if err := os.WriteFile(conf, fmt.Appendf(nil, ganesha, dir, dir), 0o600); err != nil {
		return nil, err
	}
	statd := exec.Command("rpc.statd", "-F", "--no-notify")
	if err := statd.Start(); err != nil {
		return nil, err
	}
	s := &server{dir: dir, cmd: exec.Command("ganesha.nfsd", "-F", "-f", conf, "-L", log, "-p", filepath.Join(state, "ganesha.pid")), more: []*exec.Cmd{statd}}
	s.cmd.Stdout, s.cmd.Stderr = os.Stderr, os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var m *mounted
		if m, err = mount(dir); err == nil {
			m.close()
			return s, nil
		}
	}
	text, _ := os.ReadFile(log)
	s.stop()
	return nil, fmt.Errorf("NFS-Ganesha does not answer: %w\n%s", err, text)
}

func (s *server) stop() {
	for _, c := range append([]*exec.Cmd{s.cmd}, s.more...) {
		c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
		c.Wait()
		kill.Stop()
	}
}

// processes are the server's, with their children.
func (s *server) processes() (pids []int) {
	pids = []int{s.cmd.Process.Pid}
	for _, c := range s.more {
		pids = append(pids, c.Process.Pid)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		if v := stat(f); len(v) > 2 && v[1] == strconv.Itoa(s.cmd.Process.Pid) {
			n, _ := strconv.Atoi(strings.Split(f, "/")[2])
			pids = append(pids, n)
		}
	}
	return pids
}

// stat is what follows the command's name in proc(5)'s stat.
func stat(file string) []string {
	b, _ := os.ReadFile(file)
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.Fields(rest)
}

// cpu is the processor time that the server has taken.
func (s *server) cpu() (d time.Duration) {
	for _, p := range s.processes() {
		if v := stat(fmt.Sprintf("/proc/%d/stat", p)); len(v) > 12 {
			u, _ := strconv.Atoi(v[11])
			k, _ := strconv.Atoi(v[12])
			d += time.Duration(u+k) * 10 * time.Millisecond
		}
	}
	return d
}

func (s *server) resident() (n int) {
	for _, p := range s.processes() {
		if v := stat(fmt.Sprintf("/proc/%d/stat", p)); len(v) > 21 {
			pages, _ := strconv.Atoi(v[21])
			n += pages * os.Getpagesize()
		}
	}
	return n
}
