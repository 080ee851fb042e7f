package check

import (
	"strings"
	"testing"
)

// Debian's rpcclient translates names and SIDs, lists users and shares; who has no name learns nobody's.
func TestRPCNames(t *testing.T) {
	g := up(t, tree(t))
	host, _, _ := strings.Cut(g.Ready["smb"], ":")
	ask := func(who []string, command string) string {
		out, _ := run(t, "rpcclient", append(who, host, "-c", command)...)
		return out
	}
	known := []string{"-U", smbUser + "%" + smbPassword}
	for _, c := range []struct{ command, want string }{
		{"lookupnames " + smbUser, smbUser + " S-1-22-1-1000 (User: 1)"},
		{"lookupsids S-1-22-1-1000", `\` + smbUser + " (1)"},
		{"lookupsids S-1-22-2-0", `Unix Group\root (2)`},
		{"lookupsids S-1-5-32-544", `BUILTIN\Administrators (4)`},
		{"lookupsids S-1-1-0 S-1-22-1-54321", `S-1-22-1-54321 *unknown*\*unknown* (8)`},
		{"lookupnames everyone", "S-1-1-0"},
		{"lsaquery", "Domain Name: WORKGROUP"},
		{"getusername", ""},
		{"enumdomains", "Builtin"},
		{"enumdomusers", "user:[" + smbUser + "] rid:[0x3e8]"},
		{"samlookupnames domain " + smbUser, "0x3e8"},
		{"samlookuprids domain 0x3e8", smbUser},
		{"srvinfo", "platform_id"},
		{"netshareenumall", "netname: share"},
	} {
		if out := ask(known, c.command); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s\nwant %s", c.command, out, c.want)
		}
	}
	if out := ask([]string{"-U", "%"}, "lookupsids S-1-22-1-1000"); strings.Contains(out, smbUser) {
		t.Errorf("anonymous learned: %s", out)
	}
}
