package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dittofs/packaging/bench/side"
)

const user, password = "root", "Secret1" // an account that every system has

// shares are directories of the same contents; "sealed" is served only encrypted.
var shares = []string{"plain", "signed", "sealed"}

func start(name, dir, state string) (*side.Server, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	if name == "dittofs" {
		return startDittofs(dir, state)
	}
	return startSamba(dir, state)
}

func startDittofs(dir, state string) (*side.Server, error) {
	var conf strings.Builder
	run := filepath.Join(state, "run")
	fmt.Fprintf(&conf, "state = %q\nrun = %q\nlisten = \"127.0.0.1\"\nlog_level = \"warn\"\n[nfs]\nrpcbind = false\n[smb]\nsigning = \"optional\"\nconnections_per_address = 8192\n",
		state, run)
	for _, s := range shares {
		fmt.Fprintf(&conf, "[[export]]\npath = %q\nname = %q\nencrypt = %v\n", filepath.Join(dir, s), s, s == "sealed")
	}
	file := filepath.Join(state, "gateway.toml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return nil, err
	}
	return side.Dittofs(*bin, run, []string{"DITTOFS_PASSWORD=" + password}, "--config", file, "--user", user)
}

// samba is its configuration with what NFS beside it needs: kernel oplocks, POSIX locks, no trust in its own caches.
const samba = `[global]
  workgroup = WORKGROUP
  netbios name = BENCH
  server role = standalone server
  interfaces = lo
  bind interfaces only = yes
  smb ports = 445
  server signing = auto
  private dir = %[1]s
  lock directory = %[1]s
  state directory = %[1]s
  cache directory = %[1]s
  pid directory = %[1]s
  ncalrpc dir = %[1]s
  passdb backend = smbpasswd:%[1]s/smbpasswd
  log file = %[1]s/log
  load printers = no
  disable spoolss = yes
  max connections = 0
`

func startSamba(dir, state string) (*side.Server, error) {
	conf := fmt.Sprintf(samba, state)
	for _, s := range shares {
		conf += fmt.Sprintf("[%s]\n  path = %s\n  read only = no\n  kernel oplocks = yes\n  posix locking = yes\n", s, filepath.Join(dir, s))
		if s == "sealed" {
			conf += "  smb encrypt = required\n"
		}
	}
	file := filepath.Join(state, "smb.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	add := exec.Command("smbpasswd", "-c", file, "-a", "-s", user)
	add.Stdin = strings.NewReader(password + "\n" + password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("smbpasswd: %v: %s", err, out)
	}
	s, err := side.Start(nil, "smbd", "-F", "--no-process-group", "-s", file)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		session, err := dial("signed")
		if err == nil {
			session.Logoff()
			return s, nil
		}
		if time.Now().After(end) {
			s.Stop()
			return nil, fmt.Errorf("smbd does not answer: %w", err)
		}
	}
}
