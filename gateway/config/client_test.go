package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
)

func TestParseClient(t *testing.T) {
	yes, no, id := true, false, uint32(7)
	for text, want := range map[string]Client{
		"192.0.2.9/24(rw,no_root_squash)": {Host: "192.0.2.9/24", Network: netip.MustParsePrefix("192.0.2.0/24"), ReadOnly: &no, Squash: "none"},
		"::ffff:192.0.2.0/120":            {Host: "::ffff:192.0.2.0/120", Network: netip.MustParsePrefix("192.0.2.0/24")},
		"2001:db8::1( ro , insecure )":    {Host: "2001:db8::1", Network: netip.MustParsePrefix("2001:db8::1/128"), ReadOnly: &yes, Insecure: &yes},
		"*.Lab.example(async,secure)":     {Host: "*.Lab.example", Pattern: "*.lab.example", Async: &yes, Insecure: &no},
		"*(sec=krb5p:krb5)":               {Host: "*", Pattern: "*", Sec: []string{"krb5p", "krb5"}},
		"*":                               {Host: "*", Pattern: "*"},
		"Host.example(sync,all_squash,anonuid=7,anongid=7)": {Host: "Host.example", Name: "host.example", Async: &no, Squash: "all", AnonUID: &id, AnonGID: &id},
		"@trusted(root_squash)":                             {Host: "@trusted", Netgroup: "trusted", Squash: "root"},
	} {
		if c, err := ParseClient(text); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, c, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "names no host", "@": "names no netgroup", "@-f": "names no netgroup", "a b": "names no host", "-c": "names no host", "fe80::g": "names no host",
		"10.0.0.0/33": "is no network", "[a": "is no pattern", "a(ro": "parenthesis", "a(ro)b": "parenthesis", "a(rx)": `unknown option "rx"`,
		"a(anonuid=-2)": "not an id", "a(anongid=4294967295)": "not an id", "a(sec=krb4)": "of sys", "a()": `unknown option ""`,
	} {
		if c, err := ParseClient(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %s", text, c, err, want)
		}
	}
}

func FuzzParseClient(g *testing.F) {
	f := fuzz.On(g)
	f.Add("192.0.2.0/24(rw,anonuid=7)")
	f.Add("@group(ro)")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseClient(text)
		if err != nil {
			return
		}
		kinds := 0
		for _, set := range []bool{c.Network.IsValid(), c.Name != "", c.Pattern != "", c.Netgroup != ""} {
			if set {
				kinds++
			}
		}
		if kinds != 1 {
			t.Errorf("%q is %d things at once: %+v", text, kinds, c)
		}
	})
}
