package export

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"testing"

	"dittofs/gateway/config"
	"dittofs/gateway/fuzz"
)

// book is a name service of one page. Its netgroup "lab" has the hosts in group.
type book struct {
	back  map[string][]string // address: names as the reverse zone has them
	forth map[string]string   // name: address
	group []string
	away  bool
	asked int
}

var errBook = errors.New("the book is away")

func (b *book) of(ctx context.Context, a netip.Addr) (out []string, err error) {
	if b.asked++; b.away {
		return nil, errBook
	}
	for _, n := range b.back[a.String()] {
		if ok, _ := b.leads(ctx, n, a); ok {
			out = append(out, n)
		}
	}
	return out, nil
}

func (b *book) leads(_ context.Context, name string, a netip.Addr) (bool, error) {
	if b.away {
		return false, errBook
	}
	return b.forth[name] == a.String(), nil
}

func (b *book) inNetgroup(_ context.Context, group string, hosts []string) (bool, error) {
	return group == "lab" && slices.ContainsFunc(hosts, func(h string) bool { return slices.Contains(b.group, h) }), nil
}

func TestAdmitTerms(t *testing.T) {
	b := &book{
		back: map[string][]string{"10.0.0.1": {"one.lab.example"}, "10.0.0.2": {"two.lab.example"}, "10.0.0.3": {"liar.lab.example"}, "10.0.0.9": {"nine.example"}},
		forth: map[string]string{"one.lab.example": "10.0.0.1", "two.lab.example": "10.0.0.2", "liar.lab.example": "10.7.7.7",
			"named.example": "10.0.0.4", "nine.example": "10.0.0.9"},
		group: []string{"nine.example", "10.0.0.8"},
	}
	c := config.Export{Path: "/x", Squash: "root", AnonUID: 65534, AnonGID: 65534, Clients: []string{
		"10.0.0.1(ro)", "*.lab.example(all_squash,anonuid=5)", "named.example(no_root_squash,insecure)", "@lab(async)", "2001:db8::/32"}}
	g, err := newGuests(&c, b)
	must(t, err)
	e := &Export{}
	e.guests.Store(g)
	every := Terms{Squash: "root", Anon: Cred{UID: 65534, GID: 65534}, Sec: []string{"sys"}}
	with := func(f func(*Terms)) *Terms { x := every; f(&x); return &x }
	for text, want := range map[string]*Terms{
		"10.0.0.1:700":        with(func(t *Terms) { t.ReadOnly = true }), // the first entry that fits counts
		"10.0.0.2:700":        with(func(t *Terms) { t.Squash, t.Anon.UID = "all", 5 }),
		"10.0.0.3:700":        nil, // its reverse name does not lead back
		"10.0.0.4:5000":       with(func(t *Terms) { t.Squash, t.Insecure = "none", true }),
		"10.0.0.2:1024":       nil,
		"10.0.0.8:1":          with(func(t *Terms) { t.Async = true }),
		"10.0.0.9:1":          with(func(t *Terms) { t.Async = true }),
		"[2001:db8::7]:1":     &every,
		"[::ffff:10.0.0.1]:9": with(func(t *Terms) { t.ReadOnly = true }),
		"192.0.2.1:1":         nil,
	} {
		got, err := e.Admit(t.Context(), netip.MustParseAddrPort(text))
		if !reflect.DeepEqual(got, want) || (want == nil) != (err == ErrRefused) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}

	// While nobody can tell names, who was in stays in, a stranger waits, and a network needs no names.
	b.away = true
	for _, k := range g.known {
		k.until = k.until.Add(-2 * nameFresh)
	}
	for text, want := range map[string]error{"10.0.0.2:1": nil, "10.0.0.1:1": nil, "10.0.0.55:1": ErrAway} {
		for range 2 {
			if _, err := e.Admit(t.Context(), netip.MustParseAddrPort(text)); !errors.Is(err, want) {
				t.Errorf("name service away: %s: %v, want %v", text, err, want)
			}
		}
	}
	asked := b.asked
	e.Admit(t.Context(), netip.MustParseAddrPort("10.0.0.2:1"))
	if b.asked != asked {
		t.Error("the names of one address were looked up for every call")
	}
}

func TestNetgroups(t *testing.T) {
	g := parseNetgroups("# comment\nlab (one.example, ,) ( 10.0.0.8 ,-,d) \\\n\tmore\nmore\t(,user,)\nloop loop (A.example,,) \nodd (x\nempty\n")
	for _, c := range []struct {
		group string
		host  string
		want  bool
	}{{"lab", "one.example", true}, {"lab", "10.0.0.8", true}, {"lab", "other", true}, {"loop", "a.example", true}, {"loop", "b", false},
		{"odd", "x", false}, {"empty", "x", false}, {"none", "x", false}} {
		if got := g.has(c.group, []string{c.host}, map[string]bool{}); got != c.want {
			t.Errorf("%s in %s: %v", c.host, c.group, got)
		}
	}
}

func FuzzNetgroups(g *testing.F) {
	f := fuzz.On(g)
	f.Add("a (b,c,d) e\ne (,,)\n")
	f.Fuzz(func(t *testing.T, text string) {
		g := parseNetgroups(text)
		for name := range g {
			g.has(name, []string{"x"}, map[string]bool{})
		}
	})
}

func TestLoadKeepsWhatStays(t *testing.T) {
	s, dir := tree(t)
	other := t.TempDir()
	conf := s.Exports()[0].Config()
	f, err := root(t, s).Lookup(Root, "f")
	must(t, err)
	fh := slices.Clone(f.FH())
	f.Release()
	open := func(fh []byte) error {
		f, err := s.Open(fh)
		if err == nil {
			f.Release()
		}
		return err
	}

	conf.Name, conf.ReadOnly = "renamed", true
	came, went, err := s.Load([]config.Export{conf, {Path: other, Name: "o"}})
	must(t, err)
	if len(came) != 1 || came[0].Path != other || len(went) != 0 {
		t.Errorf("came %v, went %v", came, went)
	}
	terms, err := s.ByName("renamed").Admit(t.Context(), netip.MustParseAddrPort("10.0.0.1:1"))
	must(t, err)
	if !terms.ReadOnly || open(fh) != nil || s.ByName("t") != nil {
		t.Errorf("after a change of its options: %+v, %v", terms, open(fh))
	}
	if _, _, err := s.Load([]config.Export{{Path: other}, {Path: "/x", Clients: []string{"("}}}); err == nil || open(fh) != nil {
		t.Errorf("a bad configuration: %v, and the handle: %v", err, open(fh))
	}
	if _, went, err := s.Load([]config.Export{{Path: other, Name: "o"}}); err != nil || len(went) != 1 || open(fh) != ErrStale {
		t.Errorf("removed: %v %v, and the handle: %v", went, err, open(fh))
	}
	conf.Name = "t"
	if _, _, err := s.Load([]config.Export{conf}); err != nil || open(fh) != ErrAway {
		t.Errorf("brought back: %v, and the handle: %v", err, open(fh))
	}
	bring(t, s, dir)
	must(t, open(fh))
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}
