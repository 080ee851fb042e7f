package lock

import (
	"math/rand/v2"
	"testing"
)

// What an open at ease would be told, had it asked: granted, with nothing called back. And what costs nothing is at ease.
func TestEase(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[Ease]int{}
	for range 20_000 {
		f := newFile(t)
		kinds := []CacheKind{NoCache, Oplock, LeaseV2}
		var numbers []uint64
		for c := range byte(1 + r.IntN(4)) {
			n, res := f.open(1+c%3, []Access{Read, Write, Read | Write}[r.IntN(3)], kinds[r.IntN(3)], Rights(r.IntN(8)), nil)
			if res.Outcome == Granted {
				numbers = append(numbers, n)
			}
			if r.IntN(3) == 0 {
				f.ack(1+c%3, 0)
			}
		}
		if len(numbers) > 0 && r.IntN(3) == 0 {
			n := numbers[r.IntN(len(numbers))]
			f.Lock(1, ID{1, f.num()}, &LockRequest{Owner: Owner{Client: Client{Door: SMB, GUID: GUID{1}}, Handle: n}, Open: n, Offset: 0, Length: 10, Exclusive: true, Try: true})
		}
		for _, n := range numbers {
			e := f.Ease(ID{1, n})
			seen[e]++
			for _, op := range []Op{OpRead, OpWrite} {
				if e&op.Ease() == 0 {
					continue
				}
				f.Effects = f.Effects[:0]
				o := f.Table.open(ID{1, n})
				id := f.num()
				got := f.Access(ID{1, id}, ID{1, id}, &AccessRequest{ID: id, Open: n, Owner: o.r.Owner, Op: op, Offset: 3, Length: 5})
				if got.Outcome != Granted || len(f.Effects) > 0 {
					t.Fatalf("open %d is at ease for %v and is told %v, with %d effects", n, op, got.Outcome, len(f.Effects))
				}
				f.Done(ID{1, id})
			}
		}
	}
	for _, e := range []Ease{0, EaseRead, EaseRead | EaseWrite} {
		if seen[e] < 100 {
			t.Errorf("ease %d came %d times only", e, seen[e])
		}
	}
}

// An oplock comes down to level II without anybody waiting for its open's ease: its own writes were never at ease.
func TestOplockWritesAsk(t *testing.T) {
	f := newFile(t)
	n, res := f.open(1, Read|Write, Oplock, R|W|H, nil)
	f.expect("a batch oplock", res.Rights, R|W|H)
	f.expect("its ease", f.Ease(ID{1, n}), EaseRead)
	_, res = f.open(2, Read, NoCache, 0, nil)
	f.expect("another's open", res.Outcome, Blocked)
	f.expect("ease while it breaks", f.Ease(ID{1, n}), Ease(0))
	f.expect("the acknowledgement", f.Acknowledge(1, &Ack{Open: n, Keep: R}), Granted)
	f.expect("ease at level II", f.Ease(ID{1, n}), EaseRead)
}
