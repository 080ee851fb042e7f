package lock

// What ends with a client, and with a door.

// Forget ends everything that a client holds here. The doors hear of each open that goes, so that they do not present it again.
func (t *Table) Forget(c Client) (n int) {
	n = t.drop(func(o *open) bool { return o.r.Owner.Client == c }, func(w *waiter) bool { return w.owner().Client == c }, false)
	for i := 0; i < len(t.flocks); {
		if h := t.flocks[i]; h.owner.Client == c {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
			n++
		} else {
			i++
		}
	}
	return n + t.dropPOSIX(func(h *held) bool { return h.owner.Client == c })
}

// Detach is a door's death: its plain opens, local ranges, tickets and operations end; durable opens wait for their clients, and NLM
// locks belong to clients and stay.
func (t *Table) Detach(seat uint64) {
	t.drop(func(o *open) bool { return o.id.Seat == seat }, func(w *waiter) bool { return w.ticket.Seat == seat }, true)
	for i := 0; i < len(t.doing); {
		if t.doing[i].id.Seat == seat {
			t.doing = append(t.doing[:i], t.doing[i+1:]...)
			t.dirty = true
		} else {
			i++
		}
	}
	for i := 0; i < len(t.flocks); {
		if h := t.flocks[i]; h.id.Seat == seat {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
		} else {
			i++
		}
	}
	t.dropPOSIX(func(h *held) bool { return h.owner.Client.Door != NLM && h.id.Seat == seat })
}

func (t *Table) drop(which func(*open) bool, waiting func(*waiter) bool, keep bool) (n int) {
	for i := 0; i < len(t.line); {
		if w := t.line[i]; waiting(w) {
			t.line = append(t.line[:i], t.line[i+1:]...)
			if w.open != nil {
				t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
			}
			if !keep {
				t.answer(w, Cancelled, nil)
			}
			t.dirty = true
		} else {
			i++
		}
	}
	for _, o := range append([]*open(nil), t.opens...) {
		if !which(o) || t.open(o.id) != o {
			continue
		}
		n++
		if keep && o.outlives() && !o.lost {
			t.lose(o)
		} else if !keep || !o.lost {
			if !keep {
				t.tell(o.id.Seat, Event{Gone: &Gone{Key: t.Key, Open: o.id.N, Owner: o.r.Owner}})
			}
			t.die(o)
		}
	}
	return n
}
