// Package nsm is the wire of the Network Status Monitor, program 100024 version 1: X/Open XNFS chapter 11.
//
// No locks.
package nsm

import "dittofs/gateway/xdr"

// Program and version, SM_PROG and SM_VERS.
const (
	Program = 100024
	Version = 1
)

// Procedures.
const (
	ProcNull      = 0
	ProcStat      = 1
	ProcMon       = 2
	ProcUnmon     = 3
	ProcUnmonAll  = 4
	ProcSimuCrash = 5
	ProcNotify    = 6
)

// MaxName is SM_MAXSTRLEN.
const MaxName = 1024

// Result is res: whether the monitor will monitor.
type Result uint32

// Results.
const (
	Success Result = 0 // STAT_SUCC
	Fail    Result = 1 // STAT_FAIL
)

// Name is sm_name.
type Name struct{ Name string }

// XDR moves sm_name.
func (n *Name) XDR(x *xdr.Stream) { x.String(&n.Name, MaxName) }

// MyID is my_id: the host that asked to be told, and the procedure that it is told by.
type MyID struct {
	Name    string
	Program uint32
	Version uint32
	Proc    uint32
}

// XDR moves my_id.
func (m *MyID) XDR(x *xdr.Stream) {
	x.String(&m.Name, MaxName)
	x.Uint32(&m.Program)
	x.Uint32(&m.Version)
	x.Uint32(&m.Proc)
}

// MonID is mon_id: who is monitored, and for whom.
type MonID struct {
	Name string
	My   MyID
}

// XDR moves mon_id.
func (m *MonID) XDR(x *xdr.Stream) {
	x.String(&m.Name, MaxName)
	m.My.XDR(x)
}

// Mon is mon, with the bytes that the callback gives back.
type Mon struct {
	ID   MonID
	Priv [16]byte
}

// XDR moves mon.
func (m *Mon) XDR(x *xdr.Stream) {
	m.ID.XDR(x)
	x.Fixed(m.Priv[:])
}

// StatRes is sm_stat_res.
type StatRes struct {
	Result Result
	State  int32
}

// XDR moves sm_stat_res.
func (s *StatRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &s.Result)
	x.Int32(&s.State)
}

// State is sm_stat: our state number.
type State struct{ State int32 }

// XDR moves sm_stat.
func (s *State) XDR(x *xdr.Stream) { x.Int32(&s.State) }

// Change is stat_chge, what SM_NOTIFY carries: a host and its new state.
type Change struct {
	Name  string
	State int32
}

// XDR moves stat_chge.
func (c *Change) XDR(x *xdr.Stream) {
	x.String(&c.Name, MaxName)
	x.Int32(&c.State)
}

// Status is status, what the callback carries.
type Status struct {
	Name  string
	State int32
	Priv  [16]byte
}

// XDR moves status.
func (s *Status) XDR(x *xdr.Stream) {
	x.String(&s.Name, MaxName)
	x.Int32(&s.State)
	x.Fixed(s.Priv[:])
}
