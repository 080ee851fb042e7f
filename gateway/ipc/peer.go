package ipc

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Version is the protocol's. Both ends of a hatch must have the same one: they come from one package and restart together.
const Version = 1

// Deadline bounds every request, and how long a request waits for a gateway that restarts.
const Deadline = 10 * time.Second

// Peer returns the credentials of the process that connected, SO_PEERCRED in socket(7). Only root and the user that this process runs as
// may; for others the error says who it was.
func Peer(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	return cred, admit(cred, os.Geteuid())
}

func admit(cred *unix.Ucred, own int) error {
	if cred.Uid != 0 && int64(cred.Uid) != int64(own) {
		return fmt.Errorf("process %d of uid %d may not enter", cred.Pid, cred.Uid)
	}
	return nil
}
