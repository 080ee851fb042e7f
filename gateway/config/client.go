package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Client is one entry of an export's clients: who, and in parentheses on what terms, in the words of exports(5). What it does not say is
// as the export has it. Of several entries the first that fits counts.
type Client struct {
	Host     string       // as written, without the options
	Network  netip.Prefix // an address or a network; zero: one of the next three
	Name     string       // a host's name
	Pattern  string       // a host's name with *, ? or [ ]; "*": everybody
	Netgroup string       // @group

	ReadOnly *bool    // ro, rw
	Squash   string   // root_squash, no_root_squash, all_squash; "": the export's
	AnonUID  *uint32  // anonuid=
	AnonGID  *uint32  // anongid=
	Insecure *bool    // insecure, secure
	Async    *bool    // async, sync
	Sec      []string // sec=sys:krb5:krb5i:krb5p
	AnyLocks *bool    // no_auth_nlm, auth_nlm; also called insecure_locks, secure_locks
}

// secs are the flavors that an export may take.
var secs = []string{"sys", "krb5", "krb5i", "krb5p"}

// ParseClient reads "192.0.2.0/24(rw,no_root_squash)", "*.lab.example(ro)", "@group", "host.example".
func ParseClient(text string) (Client, error) {
	host, rest, options := strings.Cut(strings.TrimSpace(text), "(")
	c := Client{Host: strings.TrimSpace(host)}
	if options {
		list, tail, closed := strings.Cut(rest, ")")
		if !closed || tail != "" {
			return c, errors.New("the options end with a parenthesis")
		}
		for _, o := range strings.Split(list, ",") {
			if err := c.option(strings.TrimSpace(o)); err != nil {
				return c, err
			}
		}
	}
	return c, c.who()
}

// who reads the host.
func (c *Client) who() (err error) {
	group, isGroup := strings.CutPrefix(c.Host, "@")
	switch {
	case strings.ContainsAny(c.Host, " \t\"\\") || c.Host == "" || len(c.Host) > 255:
		return errors.New("names no host")
	case isGroup:
		if c.Netgroup = group; group == "" || strings.HasPrefix(group, "-") {
			return errors.New("names no netgroup")
		}
	case strings.ContainsRune(c.Host, '/'):
		if c.Network, err = netip.ParsePrefix(c.Host); err != nil {
			return errors.New("is no network")
		}
		// An IPv4 network in IPv6 form is the IPv4 network.
		if p := c.Network; p.Addr().Is4In6() && p.Bits() >= 96 {
			c.Network = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		c.Network = c.Network.Masked()
	case strings.ContainsAny(c.Host, "*?["):
		c.Pattern = strings.ToLower(c.Host)
		if _, err := path.Match(c.Pattern, ""); err != nil {
			return errors.New("is no pattern")
		}
	default:
		if a, err := netip.ParseAddr(c.Host); err == nil {
			a = a.Unmap().WithZone("")
			c.Network = netip.PrefixFrom(a, a.BitLen())
		} else if c.Name = strings.ToLower(c.Host); strings.HasPrefix(c.Name, "-") || strings.Contains(c.Name, ":") {
			return errors.New("names no host")
		}
	}
	return nil
}

func (c *Client) option(o string) error {
	set := func(b **bool, v bool) { *b = &v }
	key, value, _ := strings.Cut(o, "=")
	switch o {
	case "ro", "rw":
		set(&c.ReadOnly, o == "ro")
	case "root_squash":
		c.Squash = "root"
	case "all_squash":
		c.Squash = "all"
	case "no_root_squash":
		c.Squash = "none"
	case "secure", "insecure":
		set(&c.Insecure, o == "insecure")
	case "sync", "async":
		set(&c.Async, o == "async")
	case "auth_nlm", "secure_locks", "no_auth_nlm", "insecure_locks":
		set(&c.AnyLocks, o == "no_auth_nlm" || o == "insecure_locks")
	default:
		if key == "sec" {
			c.Sec = strings.Split(value, ":")
			for _, s := range c.Sec {
				if !slices.Contains(secs, s) {
					return fmt.Errorf("%s: of sys, krb5, krb5i, krb5p", o)
				}
			}
			return nil
		}
		id := map[string]**uint32{"anonuid": &c.AnonUID, "anongid": &c.AnonGID}[key]
		if id == nil {
			return fmt.Errorf("unknown option %q", o)
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n == 1<<32-1 { // -1 asks the kernel to change nothing
			return fmt.Errorf("%s: not an id", o)
		}
		v := uint32(n)
		*id = &v
	}
	return nil
}
