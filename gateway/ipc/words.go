package ipc

import (
	"maps"
	"time"

	"dittofs/gateway/lock"
)

// Session is an SMB session as smbd reports it.
type Session struct {
	ID        uint64
	User      string
	Address   string
	Dialect   string
	Signed    bool
	Encrypted bool
	Share     []string
	Since     time.Time
}

// NSM is what statd needs at its start: this run's state number, and who must be told of it.
type NSM struct {
	State int32
	Hosts []Host
}

// Host is a monitored host.
type Host struct {
	Name    string // caller_name
	Address string
	State   int32 // its own state number, as it told us
}

// BreakRequest says what the administrator takes away. An absolute Path is a file's on this machine.
type BreakRequest struct {
	Filter lock.Filter
	DryRun bool
}

// Status is the gateway at one moment, for people.
type Status struct {
	Version string
	Epoch   uint64
	Started time.Time
	Grace   time.Duration // how long grace still runs; 0: no grace
	Daemons []Daemon      // the gateway first, then one for each hatch
	Trees   []TreeStatus
}

// Daemon is one process of the gateway. Since is zero while it is not connected.
type Daemon struct {
	Name  string
	PID   int32
	Since time.Time
	Doors map[string]string // what it serves: "nfs", "mount", "nlm", "nsm", "smb", "metrics" → HOST:PORT
}

// TreeStatus is one exported tree. Local programs reach it, and it is exported, only while it is mounted.
type TreeStatus struct {
	Name    string
	Path    string
	Mounted bool
	Refused string // why it cannot be mounted
}

// Serving returns the doors of all daemons: "nfs" → HOST:PORT.
func (s Status) Serving() map[string]string {
	all := map[string]string{}
	for _, d := range s.Daemons {
		maps.Copy(all, d.Doors)
	}
	return all
}
