package lockmgr

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"dittofs/gateway/lock"
)

// List is what is held now, also what stands in the local door's books alone.
func (s *Seat) List(ctx context.Context, f lock.Filter) (lock.Snapshot, error) {
	if err := s.m.marks.gather(ctx); err != nil {
		return lock.Snapshot{}, err
	}
	return s.m.List(f), nil
}

// List is what is held now, for people.
func (m *Manager) List(f lock.Filter) lock.Snapshot {
	s := lock.Snapshot{Grace: m.GraceLeft(), Epoch: m.epoch}
	read := func(t *lock.Table) {
		if f.Path != "" && t.Path != f.Path {
			return
		}
		if st := filter(t.State(), f); st.Opens != nil || st.Ranges != nil || st.Leases != nil || st.Waiters != nil {
			s.Files = append(s.Files, st)
		}
	}
	if f.Key.IsZero() {
		m.look(read)
	} else {
		m.lookAt(f.Key, read)
	}
	sortFiles(s.Files)
	return s
}

// filter keeps what f selects of one file.
func filter(st lock.FileState, f lock.Filter) lock.FileState {
	fits := func(k lock.Kind, id string, o lock.Owner, user string) bool {
		return (f.Kind == 0 || f.Kind&k != 0) && (f.ID == "" || id == f.ID) && selects(&f, o, user)
	}
	st.Opens = keep(st.Opens, func(o *lock.OpenState) bool { return fits(lock.KindOpen, o.ID, o.Owner, o.User) })
	st.Ranges = keep(st.Ranges, func(r *lock.RangeState) bool { return fits(r.Kind(), r.ID, r.Owner, r.User) })
	st.Leases = keep(st.Leases, func(l *lock.LeaseState) bool {
		return fits(l.What(), l.ID, lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: l.Client}}, l.User)
	})
	st.Waiters = keep(st.Waiters, func(w *lock.WaiterState) bool { return fits(lock.KindWaiter, w.ID, w.Owner, w.User) })
	return st
}

// selects reports whether f means this owner. A client is named as a whole or by the first parts of an owner's name: "host", "nlm:host",
// "nlm:host:7", "local:1234".
func selects(f *lock.Filter, o lock.Owner, user string) bool {
	return (f.Door == 0 || o.Client.Door == f.Door) && (f.User == "" || user == f.User) &&
		(f.Client == "" || o.Client.Name == f.Client || strings.HasPrefix(o.String()+":", f.Client+":"))
}

func keep[T any](list []T, fits func(*T) bool) (out []T) {
	for i := range list {
		if fits(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

func sortFiles(list []lock.FileState) {
	slices.SortFunc(list, func(a, b lock.FileState) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Key.FSID, b.Key.FSID), cmp.Compare(a.Key.Ino, b.Key.Ino))
	})
}
