package check

import (
	"encoding/hex"
	"testing"

	"dittofs/smbd/smb2"
)

// A client that asks as a Mac does is told what the share can, with dittofs up --apple.
func TestAAPL(t *testing.T) {
	query := hex.EncodeToString((&smb2.AAPLQuery{Command: smb2.AAPLServerQuery, Bitmap: smb2.AAPLServerCaps | smb2.AAPLVolumeCaps}).Append(nil))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--apple"}, hex.EncodeToString((&smb2.AAPLAnswer{Bitmap: 3, ServerCaps: 15}).Append(nil))},
		{nil, ""},
	} {
		g := up(t, tree(t), c.args...)
		if a := g.smb(t).do("aapl", args{"query": query}); a.Status != statusOK || a.Data != c.want {
			t.Errorf("%v: %s, %q; want %q", c.args, a.Status, a.Data, c.want)
		}
		g.Stop()
	}
}
