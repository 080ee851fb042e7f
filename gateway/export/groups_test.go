package export

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestWholeGroups(t *testing.T) {
	g := NewGroups(time.Hour)
	asked, away := 0, false
	g.find = func(_ context.Context, uid uint32) ([]uint32, bool, error) {
		asked++
		if away {
			return nil, false, errors.New("away")
		}
		return []uint32{7, 8}, uid == 1, nil
	}
	wire := Cred{UID: 1, GID: 5, Groups: []uint32{5}}
	if _, err := g.Whole(t.Context(), wire, true); err != ErrLater {
		t.Errorf("in a hurry, before anybody asked: %v", err)
	}
	for range 2 {
		if c, err := g.Whole(t.Context(), wire, false); err != nil || c.GID != 5 || !slices.Equal(c.Groups, []uint32{7, 8}) {
			t.Errorf("%+v %v", c, err)
		}
		stranger := Cred{UID: 2, Groups: []uint32{5}}
		if c, err := g.Whole(t.Context(), stranger, false); err != nil || !c.Equal(stranger) {
			t.Errorf("a user whom the host does not know: %+v %v", c, err)
		}
	}
	if c, err := g.Whole(t.Context(), wire, true); err != nil || !slices.Equal(c.Groups, []uint32{7, 8}) {
		t.Errorf("in a hurry: %+v %v", c, err)
	}
	if asked != 2 {
		t.Errorf("asked %d times for two users", asked)
	}
	// While the name service is away, an old answer is better than none; where there is none, the caller comes again.
	away = true
	g.of[1].until = time.Time{}
	if c, err := g.Whole(t.Context(), wire, false); err != nil || !slices.Equal(c.Groups, []uint32{7, 8}) {
		t.Errorf("an old answer: %+v %v", c, err)
	}
	if _, err := g.Whole(t.Context(), Cred{UID: 3}, false); err != ErrAway {
		t.Errorf("no answer: %v", err)
	}
	if c, err := (*Groups)(nil).Whole(t.Context(), wire, true); err != nil || !c.Equal(wire) {
		t.Errorf("off: %+v %v", c, err)
	}
}

func TestInitgroups(t *testing.T) {
	groups, known, err := initgroups(t.Context(), 0)
	if err != nil || !known || !slices.Contains(groups, 0) {
		t.Errorf("root: %v %v %v", groups, known, err)
	}
	if groups, known, err := initgroups(t.Context(), 3999999999); err != nil || known {
		t.Errorf("nobody: %v %v %v", groups, known, err)
	}
}
