package lockmgr

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"dittofs/gateway/lock"
)

// List is what is held now.
func (s *Seat) List(_ context.Context, f lock.Filter) (lock.Snapshot, error) { return s.m.List(f), nil }

// filter keeps what f selects of one file.
func filter(st lock.FileState, f lock.Filter) lock.FileState {
	fits := func(o lock.Owner, user string) bool {
		return (f.Door == 0 || o.Client.Door == f.Door) && (f.User == "" || user == f.User) &&
			(f.Client == "" || o.Client.Name == f.Client || strings.HasPrefix(o.String(), f.Client))
	}
	st.Opens = keep(st.Opens, func(o *lock.OpenState) bool { return fits(o.Owner, o.User) })
	st.Ranges = keep(st.Ranges, func(r *lock.RangeState) bool { return fits(r.Owner, r.User) })
	st.Leases = keep(st.Leases, func(l *lock.LeaseState) bool {
		return fits(lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: l.Client}}, f.User)
	})
	st.Waiters = keep(st.Waiters, func(w *lock.WaiterState) bool { return fits(w.Owner, f.User) })
	return st
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
