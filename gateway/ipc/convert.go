package ipc

import (
	"time"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// Each pair of functions names every field of its type; a missing message reads as the zero value.

func guid(b []byte) (g lock.GUID) {
	copy(g[:], b)
	return g
}

func guidBytes(g lock.GUID) []byte {
	if g.IsZero() {
		return nil
	}
	return g[:]
}

// text keeps a client's bytes as they are; proto3 strings must be UTF-8.
func text(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// optional is f of what is there.
func optional[A, B any](a *A, f func(*A) *B) *B {
	if a == nil {
		return nil
	}
	return f(a)
}

func each[A, B any](as []A, f func(A) B) []B {
	if as == nil {
		return nil
	}
	bs := make([]B, len(as))
	for i, a := range as {
		bs[i] = f(a)
	}
	return bs
}

func keyPB(k lock.Key) *lockpb.Key {
	if k.IsZero() {
		return nil
	}
	return &lockpb.Key{Fsid: k.FSID, Ino: k.Ino, Gen: k.Gen}
}

func keyOf(p *lockpb.Key) lock.Key {
	return lock.Key{FSID: p.GetFsid(), Ino: p.GetIno(), Gen: p.GetGen()}
}

// ClientPB is c as a message.
func ClientPB(c lock.Client) *lockpb.Client {
	return &lockpb.Client{Door: uint32(c.Door), Name: text(c.Name), Guid: guidBytes(c.GUID)}
}

// ClientOf reads a message's client.
func ClientOf(p *lockpb.Client) lock.Client {
	return lock.Client{Door: lock.Door(p.GetDoor()), Name: string(p.GetName()), GUID: guid(p.GetGuid())}
}

func ownerPB(o lock.Owner) *lockpb.Owner {
	return &lockpb.Owner{Client: ClientPB(o.Client), Session: o.Session, Handle: o.Handle, Pid: o.PID, Oh: text(o.OH)}
}

func ownerOf(p *lockpb.Owner) lock.Owner {
	return lock.Owner{Client: ClientOf(p.GetClient()), Session: p.GetSession(), Handle: p.GetHandle(), PID: p.GetPid(), OH: string(p.GetOh())}
}

func holderPB(h *lock.Holder) *lockpb.Holder {
	if h == nil {
		return nil
	}
	return &lockpb.Holder{Owner: ownerPB(h.Owner), Exclusive: h.Exclusive, Offset: h.Offset, Length: h.Length,
		Access: uint32(h.Access), Share: uint32(h.Share), Rights: uint32(h.Rights)}
}

func holderOf(p *lockpb.Holder) *lock.Holder {
	if p == nil {
		return nil
	}
	return &lock.Holder{Owner: ownerOf(p.Owner), Exclusive: p.Exclusive, Offset: p.Offset, Length: p.Length,
		Access: lock.Access(p.Access), Share: lock.Share(p.Share), Rights: lock.Rights(p.Rights)}
}

// OpenRequestPB is r as a message.
func OpenRequestPB(r lock.OpenRequest) *lockpb.OpenRequest {
	return &lockpb.OpenRequest{
		Open:          r.Open,
		Ticket:        r.Ticket,
		Key:           keyPB(r.Key),
		Fh:            r.FH,
		Owner:         ownerPB(r.Owner),
		Directory:     r.Directory,
		Access:        uint32(r.Access),
		Share:         uint32(r.Share),
		Overwrite:     r.Overwrite,
		DeleteOnClose: r.DeleteOnClose,
		Kind:          uint32(r.Kind),
		LeaseKey:      guidBytes(r.LeaseKey),
		ParentKey:     guidBytes(r.ParentKey),
		Rights:        uint32(r.Rights),
		Epoch:         uint32(r.Epoch),
		Durable:       int64(r.Durable),
		CreateGuid:    guidBytes(r.CreateGuid),
		Private:       r.Private,
		Path:          text(r.Path),
		User:          text(r.User),
		Reclaim:       r.Reclaim,
		By:            callerPB(r.By),
		Made:          optional(r.Made, func(c *lock.Change) *lockpb.Change { return ChangePB(*c) }),
	}
}

// OpenRequestOf reads a message's request.
func OpenRequestOf(p *lockpb.OpenRequest) lock.OpenRequest {
	return lock.OpenRequest{
		Open:          p.GetOpen(),
		Ticket:        p.GetTicket(),
		Key:           keyOf(p.GetKey()),
		FH:            p.GetFh(),
		Owner:         ownerOf(p.GetOwner()),
		Directory:     p.GetDirectory(),
		Access:        lock.Access(p.GetAccess()),
		Share:         lock.Share(p.GetShare()),
		Overwrite:     p.GetOverwrite(),
		DeleteOnClose: p.GetDeleteOnClose(),
		Kind:          lock.CacheKind(p.GetKind()),
		LeaseKey:      guid(p.GetLeaseKey()),
		ParentKey:     guid(p.GetParentKey()),
		Rights:        lock.Rights(p.GetRights()),
		Epoch:         uint16(p.GetEpoch()),
		Durable:       time.Duration(p.GetDurable()),
		CreateGuid:    guid(p.GetCreateGuid()),
		Private:       p.GetPrivate(),
		Path:          string(p.GetPath()),
		User:          string(p.GetUser()),
		Reclaim:       p.GetReclaim(),
		By:            callerOf(p.GetBy()),
		Made:          optional(p.GetMade(), func(p *lockpb.Change) *lock.Change { c := ChangeOf(p); return &c }),
	}
}

// OpenResultPB is r as a message.
func OpenResultPB(r lock.OpenResult) *lockpb.OpenResult {
	return &lockpb.OpenResult{Outcome: uint32(r.Outcome), Rights: uint32(r.Rights), Epoch: uint32(r.Epoch), Kind: uint32(r.Kind), Breaking: r.Breaking,
		Durable: r.Durable, Holder: holderPB(r.Holder), Ease: uint32(r.Ease)}
}

// OpenResultOf reads a message's result.
func OpenResultOf(p *lockpb.OpenResult) lock.OpenResult {
	return lock.OpenResult{Outcome: lock.Outcome(p.GetOutcome()), Rights: lock.Rights(p.GetRights()), Epoch: uint16(p.GetEpoch()),
		Kind: lock.CacheKind(p.GetKind()), Breaking: p.GetBreaking(), Durable: p.GetDurable(), Holder: holderOf(p.GetHolder()), Ease: lock.Ease(p.GetEase())}
}

// ReconnectRequestPB is r as a message.
func ReconnectRequestPB(r lock.ReconnectRequest) *lockpb.ReconnectRequest {
	return &lockpb.ReconnectRequest{Open: r.Open, Owner: ownerPB(r.Owner), User: text(r.User), V2: r.V2, CreateGuid: guidBytes(r.CreateGuid),
		Lease: r.Lease, LeaseKey: guidBytes(r.LeaseKey), Key: keyPB(r.Key)}
}

// ReconnectRequestOf reads a message's request.
func ReconnectRequestOf(p *lockpb.ReconnectRequest) lock.ReconnectRequest {
	return lock.ReconnectRequest{Open: p.GetOpen(), Owner: ownerOf(p.GetOwner()), User: string(p.GetUser()), V2: p.GetV2(), CreateGuid: guid(p.GetCreateGuid()),
		Lease: p.GetLease(), LeaseKey: guid(p.GetLeaseKey()), Key: keyOf(p.GetKey())}
}

// ReconnectResultPB is r as a message.
func ReconnectResultPB(r lock.ReconnectResult) *lockpb.ReconnectResult {
	return &lockpb.ReconnectResult{Outcome: uint32(r.Outcome), Open: OpenRequestPB(r.Open), Breaking: r.Breaking, Ranges: each(r.Ranges, LockRequestPB)}
}

// ReconnectResultOf reads a message's result.
func ReconnectResultOf(p *lockpb.ReconnectResult) lock.ReconnectResult {
	return lock.ReconnectResult{Outcome: lock.Outcome(p.GetOutcome()), Open: OpenRequestOf(p.GetOpen()), Breaking: p.GetBreaking(),
		Ranges: each(p.GetRanges(), LockRequestOf)}
}

// CloseRequestPB is r as a message.
func CloseRequestPB(r lock.CloseRequest) *lockpb.CloseRequest {
	p := &lockpb.CloseRequest{Open: r.Open, Keep: r.Keep}
	if !r.Dir.IsZero() {
		p.Dir, p.ParentKey = keyPB(r.Dir), guidBytes(r.ParentKey)
	}
	return p
}

// CloseRequestOf reads a message's request.
func CloseRequestOf(p *lockpb.CloseRequest) lock.CloseRequest {
	return lock.CloseRequest{Open: p.GetOpen(), Keep: p.GetKeep(), Dir: keyOf(p.GetDir()), ParentKey: guid(p.GetParentKey())}
}

// CloseResultPB is r as a message.
func CloseResultPB(r lock.CloseResult) *lockpb.CloseResult {
	return &lockpb.CloseResult{Outcome: uint32(r.Outcome), Delete: r.Delete, Kept: r.Kept}
}

// CloseResultOf reads a message's result.
func CloseResultOf(p *lockpb.CloseResult) lock.CloseResult {
	return lock.CloseResult{Outcome: lock.Outcome(p.GetOutcome()), Delete: p.GetDelete(), Kept: p.GetKept()}
}

// AccessRequestPB is r as a message.
func AccessRequestPB(r lock.AccessRequest) *lockpb.AccessRequest {
	return &lockpb.AccessRequest{Id: r.ID, Ticket: r.Ticket, Key: keyPB(r.Key), Fh: r.FH, Owner: ownerPB(r.Owner), Open: r.Open,
		ParentKey: guidBytes(r.ParentKey), Op: uint32(r.Op), Offset: r.Offset, Length: r.Length}
}

// AccessRequestOf reads a message's request.
func AccessRequestOf(p *lockpb.AccessRequest) lock.AccessRequest {
	return lock.AccessRequest{ID: p.GetId(), Ticket: p.GetTicket(), Key: keyOf(p.GetKey()), FH: p.GetFh(), Owner: ownerOf(p.GetOwner()),
		Open: p.GetOpen(), ParentKey: guid(p.GetParentKey()), Op: lock.Op(p.GetOp()), Offset: p.GetOffset(), Length: p.GetLength()}
}

func callerPB(c *lock.Caller) *lockpb.Caller {
	if c == nil {
		return nil
	}
	return &lockpb.Caller{Address: text(c.Address), Known: c.Known, Uid: c.UID, Gid: c.GID, Gids: c.GIDs}
}

func callerOf(p *lockpb.Caller) *lock.Caller {
	if p == nil {
		return nil
	}
	return &lock.Caller{Address: string(p.Address), Known: p.Known, UID: p.Uid, GID: p.Gid, GIDs: p.Gids}
}

// LockRequestPB is r as a message.
func LockRequestPB(r lock.LockRequest) *lockpb.LockRequest {
	return &lockpb.LockRequest{
		Ticket:    r.Ticket,
		Key:       keyPB(r.Key),
		Fh:        r.FH,
		Owner:     ownerPB(r.Owner),
		Open:      r.Open,
		Offset:    r.Offset,
		Length:    r.Length,
		Exclusive: r.Exclusive,
		Reclaim:   r.Reclaim,
		Flock:     r.Flock,
		Watch:     text(r.Watch),
		NsmState:  r.NSMState,
		Try:       r.Try,
		By:        callerPB(r.By),
		Path:      text(r.Path),
		User:      text(r.User),
	}
}

// LockRequestOf reads a message's request.
func LockRequestOf(p *lockpb.LockRequest) lock.LockRequest {
	return lock.LockRequest{
		Ticket:    p.GetTicket(),
		Key:       keyOf(p.GetKey()),
		FH:        p.GetFh(),
		Owner:     ownerOf(p.GetOwner()),
		Open:      p.GetOpen(),
		Offset:    p.GetOffset(),
		Length:    p.GetLength(),
		Exclusive: p.GetExclusive(),
		Reclaim:   p.GetReclaim(),
		Flock:     p.GetFlock(),
		Watch:     string(p.GetWatch()),
		NSMState:  p.GetNsmState(),
		Try:       p.GetTry(),
		By:        callerOf(p.GetBy()),
		Path:      string(p.GetPath()),
		User:      string(p.GetUser()),
	}
}

// ResultPB is r as a message.
func ResultPB(r lock.Result) *lockpb.Result {
	return &lockpb.Result{Outcome: uint32(r.Outcome), Holder: holderPB(r.Holder), Quiet: r.Quiet}
}

// ResultOf reads a message's result.
func ResultOf(p *lockpb.Result) lock.Result {
	return lock.Result{Outcome: lock.Outcome(p.GetOutcome()), Holder: holderOf(p.GetHolder()), Quiet: p.GetQuiet()}
}

// AckPB is a as a message.
func AckPB(a lock.Ack) *lockpb.Ack {
	return &lockpb.Ack{Client: guidBytes(a.Client), LeaseKey: guidBytes(a.LeaseKey), Open: a.Open, Keep: uint32(a.Keep)}
}

// AckOf reads a message's acknowledgement.
func AckOf(p *lockpb.Ack) lock.Ack {
	return lock.Ack{Client: guid(p.GetClient()), LeaseKey: guid(p.GetLeaseKey()), Open: p.GetOpen(), Keep: lock.Rights(p.GetKeep())}
}

// EventPB is e as a message.
func EventPB(e lock.Event) *lockpb.Event {
	switch {
	case e.Answer != nil:
		a := e.Answer
		return &lockpb.Event{What: &lockpb.Event_Answer{Answer: &lockpb.Answer{Ticket: a.Ticket, Outcome: uint32(a.Outcome),
			Rights: uint32(a.Rights), Epoch: uint32(a.Epoch), Kind: uint32(a.Kind), Breaking: a.Breaking, Durable: a.Durable, Holder: holderPB(a.Holder)}}}
	case e.Break != nil:
		b := e.Break
		return &lockpb.Event{What: &lockpb.Event_Break{Break: &lockpb.Break{Key: keyPB(b.Key), Client: guidBytes(b.Client),
			LeaseKey: guidBytes(b.LeaseKey), Kind: uint32(b.Kind), Open: b.Open, From: uint32(b.From), To: uint32(b.To),
			Epoch: uint32(b.Epoch), AckRequired: b.AckRequired}}}
	case e.Change != nil:
		return &lockpb.Event{What: &lockpb.Event_Change{Change: ChangePB(*e.Change)}}
	case e.Watch != nil:
		w := e.Watch
		return &lockpb.Event{What: &lockpb.Event_Watch{Watch: &lockpb.Watch{Host: text(w.Host), Address: text(w.Address), Stop: w.Stop}}}
	case e.Gone != nil:
		g := e.Gone
		return &lockpb.Event{What: &lockpb.Event_Gone{Gone: &lockpb.Gone{Key: keyPB(g.Key), Open: g.Open, Range: g.Range, Owner: ownerPB(g.Owner),
			Offset: g.Offset, Length: g.Length, Exclusive: g.Exclusive, Flock: g.Flock}}}
	case e.Mark != nil:
		return &lockpb.Event{What: &lockpb.Event_Mark{Mark: &lockpb.Mark{Marks: e.Mark.Marks, Lent: e.Mark.Lent, Open: e.Mark.Open, Ease: uint32(e.Mark.Ease)}}}
	}
	return &lockpb.Event{}
}

// EventOf reads a message's event; one of a kind that this version does not know has no field set.
func EventOf(p *lockpb.Event) lock.Event {
	switch w := p.GetWhat().(type) {
	case *lockpb.Event_Answer:
		a := w.Answer
		return lock.Event{Answer: &lock.Answer{Ticket: a.GetTicket(), Outcome: lock.Outcome(a.GetOutcome()),
			Rights: lock.Rights(a.GetRights()), Epoch: uint16(a.GetEpoch()), Kind: lock.CacheKind(a.GetKind()), Breaking: a.GetBreaking(),
			Durable: a.GetDurable(), Holder: holderOf(a.GetHolder())}}
	case *lockpb.Event_Break:
		b := w.Break
		return lock.Event{Break: &lock.Break{Key: keyOf(b.GetKey()), Client: guid(b.GetClient()), LeaseKey: guid(b.GetLeaseKey()),
			Kind: lock.CacheKind(b.GetKind()), Open: b.GetOpen(), From: lock.Rights(b.GetFrom()), To: lock.Rights(b.GetTo()),
			Epoch: uint16(b.GetEpoch()), AckRequired: b.GetAckRequired()}}
	case *lockpb.Event_Change:
		c := ChangeOf(w.Change)
		return lock.Event{Change: &c}
	case *lockpb.Event_Watch:
		return lock.Event{Watch: &lock.Watch{Host: string(w.Watch.GetHost()), Address: string(w.Watch.GetAddress()), Stop: w.Watch.GetStop()}}
	case *lockpb.Event_Gone:
		g := w.Gone
		return lock.Event{Gone: &lock.Gone{Key: keyOf(g.GetKey()), Open: g.GetOpen(), Range: g.GetRange(), Owner: ownerOf(g.GetOwner()),
			Offset: g.GetOffset(), Length: g.GetLength(), Exclusive: g.GetExclusive(), Flock: g.GetFlock()}}
	case *lockpb.Event_Mark:
		return lock.Event{Mark: &lock.MarkEvent{Marks: w.Mark.GetMarks(), Lent: w.Mark.GetLent(), Open: w.Mark.GetOpen(), Ease: lock.Ease(w.Mark.GetEase())}}
	}
	return lock.Event{}
}

// ChangePB is c as a message.
func ChangePB(c lock.Change) *lockpb.Change {
	return &lockpb.Change{Key: keyPB(c.Key), Dir: keyPB(c.Dir), Name: text(c.Name), Action: uint32(c.Action), Filter: c.Filter,
		By: uint32(c.By), Data: c.Data, Sudden: c.Sudden, Client: guidBytes(c.Client), ParentKey: guidBytes(c.ParentKey)}
}

// ChangeOf reads a message's change.
func ChangeOf(p *lockpb.Change) lock.Change {
	return lock.Change{Key: keyOf(p.GetKey()), Dir: keyOf(p.GetDir()), Name: string(p.GetName()), Action: lock.Action(p.GetAction()),
		Filter: p.GetFilter(), By: lock.Door(p.GetBy()), Data: p.GetData(), Sudden: p.GetSudden(), Client: guid(p.GetClient()), ParentKey: guid(p.GetParentKey())}
}

// FilterPB is f as a message.
func FilterPB(f lock.Filter) *lockpb.Filter {
	return &lockpb.Filter{Path: text(f.Path), Client: text(f.Client), User: text(f.User), Door: uint32(f.Door), Key: keyPB(f.Key),
		Id: text(f.ID), Kind: uint32(f.Kind)}
}

// FilterOf reads a message's filter.
func FilterOf(p *lockpb.Filter) lock.Filter {
	return lock.Filter{Path: string(p.GetPath()), Client: string(p.GetClient()), User: string(p.GetUser()), Door: lock.Door(p.GetDoor()),
		Key: keyOf(p.GetKey()), ID: string(p.GetId()), Kind: lock.Kind(p.GetKind())}
}

// BreakRequestPB is r as a message.
func BreakRequestPB(r BreakRequest) *lockpb.BreakRequest {
	return &lockpb.BreakRequest{Filter: FilterPB(r.Filter), DryRun: r.DryRun}
}

// BreakRequestOf reads a message's request.
func BreakRequestOf(p *lockpb.BreakRequest) BreakRequest {
	return BreakRequest{Filter: FilterOf(p.GetFilter()), DryRun: p.GetDryRun()}
}

func denialPB(d lock.Denial) *lockpb.Denial {
	return &lockpb.Denial{At: instant(d.At), Times: d.Times, Key: keyPB(d.Key), Path: text(d.Path), Owner: ownerPB(d.Owner), User: text(d.User),
		What: text(d.What), Outcome: uint32(d.Outcome), Limit: d.Limit, Waited: int64(d.Waited), Holder: holderPB(d.Holder)}
}

func denialOf(p *lockpb.Denial) lock.Denial {
	return lock.Denial{At: timeOf(p.GetAt()), Times: p.GetTimes(), Key: keyOf(p.GetKey()), Path: string(p.GetPath()), Owner: ownerOf(p.GetOwner()),
		User: string(p.GetUser()), What: string(p.GetWhat()), Outcome: lock.Outcome(p.GetOutcome()), Limit: p.GetLimit(),
		Waited: durationOf(p.GetWaited()), Holder: holderOf(p.GetHolder())}
}

func openStatePB(o lock.OpenState) *lockpb.OpenState {
	return &lockpb.OpenState{Open: o.Open, Owner: ownerPB(o.Owner), User: text(o.User), Access: uint32(o.Access), Share: uint32(o.Share),
		Durable: o.Durable, Disconnected: o.Disconnected, Since: instant(o.Since), Id: text(o.ID)}
}

func openStateOf(p *lockpb.OpenState) lock.OpenState {
	return lock.OpenState{Open: p.GetOpen(), Owner: ownerOf(p.GetOwner()), User: string(p.GetUser()), Access: lock.Access(p.GetAccess()),
		Share: lock.Share(p.GetShare()), Durable: p.GetDurable(), Disconnected: p.GetDisconnected(), Since: timeOf(p.GetSince()),
		ID: string(p.GetId())}
}

func rangeStatePB(r lock.RangeState) *lockpb.RangeState {
	return &lockpb.RangeState{Owner: ownerPB(r.Owner), User: text(r.User), Offset: r.Offset, Length: r.Length, Exclusive: r.Exclusive,
		Flock: r.Flock, Unclaimed: r.Unclaimed, Since: instant(r.Since), Id: text(r.ID)}
}

func rangeStateOf(p *lockpb.RangeState) lock.RangeState {
	return lock.RangeState{Owner: ownerOf(p.GetOwner()), User: string(p.GetUser()), Offset: p.GetOffset(), Length: p.GetLength(),
		Exclusive: p.GetExclusive(), Flock: p.GetFlock(), Unclaimed: p.GetUnclaimed(), Since: timeOf(p.GetSince()),
		ID: string(p.GetId())}
}

func leaseStatePB(l lock.LeaseState) *lockpb.LeaseState {
	return &lockpb.LeaseState{Client: guidBytes(l.Client), LeaseKey: guidBytes(l.LeaseKey), Kind: uint32(l.Kind), Rights: uint32(l.Rights),
		Breaking: l.Breaking, To: uint32(l.To), Epoch: uint32(l.Epoch), Since: instant(l.Since), Id: text(l.ID), User: text(l.User)}
}

func leaseStateOf(p *lockpb.LeaseState) lock.LeaseState {
	return lock.LeaseState{Client: guid(p.GetClient()), LeaseKey: guid(p.GetLeaseKey()), Kind: lock.CacheKind(p.GetKind()),
		Rights: lock.Rights(p.GetRights()), Breaking: p.GetBreaking(), To: lock.Rights(p.GetTo()), Epoch: uint16(p.GetEpoch()),
		Since: timeOf(p.GetSince()), ID: string(p.GetId()), User: string(p.GetUser())}
}

func waiterStatePB(w lock.WaiterState) *lockpb.WaiterState {
	return &lockpb.WaiterState{Ticket: w.Ticket, Owner: ownerPB(w.Owner), What: text(w.What), For: each(w.For, ownerPB), Since: instant(w.Since),
		Id: text(w.ID), User: text(w.User)}
}

func waiterStateOf(p *lockpb.WaiterState) lock.WaiterState {
	return lock.WaiterState{Ticket: p.GetTicket(), Owner: ownerOf(p.GetOwner()), What: string(p.GetWhat()), For: each(p.GetFor(), ownerOf),
		Since: timeOf(p.GetSince()), ID: string(p.GetId()), User: string(p.GetUser())}
}

func fileStatePB(f lock.FileState) *lockpb.FileState {
	return &lockpb.FileState{Key: keyPB(f.Key), Path: text(f.Path), Opens: each(f.Opens, openStatePB), Ranges: each(f.Ranges, rangeStatePB),
		Leases: each(f.Leases, leaseStatePB), Waiters: each(f.Waiters, waiterStatePB), DeletePending: f.DeletePending}
}

func fileStateOf(p *lockpb.FileState) lock.FileState {
	return lock.FileState{Key: keyOf(p.GetKey()), Path: string(p.GetPath()), Opens: each(p.GetOpens(), openStateOf),
		Ranges: each(p.GetRanges(), rangeStateOf), Leases: each(p.GetLeases(), leaseStateOf), Waiters: each(p.GetWaiters(), waiterStateOf),
		DeletePending: p.GetDeletePending()}
}

// SessionPB is s as a message.
func SessionPB(s Session) *lockpb.Session {
	return &lockpb.Session{Id: s.ID, User: text(s.User), Address: text(s.Address), Dialect: s.Dialect, Signed: s.Signed,
		Encrypted: s.Encrypted, Share: each(s.Share, text), Since: instant(s.Since)}
}

// SessionOf reads a message's session.
func SessionOf(p *lockpb.Session) Session {
	return Session{ID: p.GetId(), User: string(p.GetUser()), Address: string(p.GetAddress()), Dialect: p.GetDialect(),
		Signed: p.GetSigned(), Encrypted: p.GetEncrypted(), Share: each(p.GetShare(), func(b []byte) string { return string(b) }),
		Since: timeOf(p.GetSince())}
}

func hostPB(h Host) *lockpb.Host {
	return &lockpb.Host{Name: text(h.Name), Address: text(h.Address), State: h.State}
}

func hostOf(p *lockpb.Host) Host {
	return Host{Name: string(p.GetName()), Address: string(p.GetAddress()), State: p.GetState()}
}

// StatusPB is s as a message.
func StatusPB(s Status) *lockpb.StatusReply {
	return &lockpb.StatusReply{Version: s.Version, Epoch: s.Epoch, Started: instant(s.Started), Grace: int64(s.Grace),
		Daemons: each(s.Daemons, func(d Daemon) *lockpb.Daemon {
			return &lockpb.Daemon{Name: d.Name, Pid: d.PID, Since: instant(d.Since), Doors: d.Doors}
		}),
		Trees: each(s.Trees, treeStatePB)}
}

// StatusOf reads a message's status.
func StatusOf(p *lockpb.StatusReply) Status {
	return Status{Version: p.GetVersion(), Epoch: p.GetEpoch(), Started: timeOf(p.GetStarted()), Grace: time.Duration(p.GetGrace()),
		Daemons: each(p.GetDaemons(), func(d *lockpb.Daemon) Daemon {
			return Daemon{Name: d.GetName(), PID: d.GetPid(), Since: timeOf(d.GetSince()), Doors: d.GetDoors()}
		}),
		Trees: each(p.GetTrees(), treeStateOf)}
}

func treeStatePB(t TreeStatus) *lockpb.TreeState {
	return &lockpb.TreeState{Name: text(t.Name), Path: text(t.Path), Mounted: t.Mounted, Refused: text(t.Refused)}
}

func treeStateOf(p *lockpb.TreeState) TreeStatus {
	return TreeStatus{Name: string(p.GetName()), Path: string(p.GetPath()), Mounted: p.GetMounted(), Refused: string(p.GetRefused())}
}
