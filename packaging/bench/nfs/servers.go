package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"dittofs/packaging/bench/side"
)

// server is one that runs on dir.
type server struct {
	*side.Server
	dir string
}

func startServer(name, dir, state string) (*server, error) {
	if name == "dittofs" {
		s, err := side.Dittofs(*bin, filepath.Join(state, "run"), nil, dir, "--state", state, "--listen", "127.0.0.1", "--log-level", "warn")
		return &server{s, dir}, err
	}
	return startGanesha(dir, state)
}

// ganesha is its configuration: its defaults, but for the number of connections, without the grace period that each start begins with, and with the file system below named by hand because a tmpfs has no identity.
const ganesha = `NFS_CORE_PARAM { NFS_Protocols = 3; Enable_RQUOTA = false; RPC_Max_Connections = 10000; }
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
	s, err := side.Start(nil, "ganesha.nfsd", "-F", "-f", conf, "-L", log, "-p", filepath.Join(state, "ganesha.pid"))
	if err != nil {
		statd.Process.Kill()
		return nil, err
	}
	s.Beside = append(s.Beside, statd)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var m *mounted
		if m, err = mount(dir); err == nil {
			m.close()
			return &server{s, dir}, nil
		}
	}
	text, _ := os.ReadFile(log)
	s.Stop()
	return nil, fmt.Errorf("NFS-Ganesha does not answer: %w\n%s", err, text)
}
