package export

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// names is the host's name service.
type names interface {
	// of returns the names of an address, in small letters, each of which leads back to it. None is no error.
	of(ctx context.Context, a netip.Addr) ([]string, error)
	// leads reports whether a name has the address.
	leads(ctx context.Context, name string, a netip.Addr) (bool, error)
	// inNetgroup reports whether a netgroup has a host of one of the names.
	inNetgroup(ctx context.Context, group string, hosts []string) (bool, error)
}

// nameTimeout bounds one question; the caller's call waits for it.
const nameTimeout = 3 * time.Second

// system asks the resolver, /etc/netgroup and getent(1).
type system struct{}

func (s system) of(ctx context.Context, a netip.Addr) (confirmed []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupAddr(ctx, a.String())
	if err != nil {
		return nil, unlessNone(err)
	}
	// Whoever owns the address can give it any name, but only the name's owner can make the name lead there.
	for _, name := range all[:min(len(all), 8)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		ok, err := s.leads(ctx, name, a)
		if err != nil {
			return nil, err
		}
		if ok && !slices.Contains(confirmed, name) {
			confirmed = append(confirmed, name)
		}
	}
	return confirmed, nil
}

func (system) leads(ctx context.Context, name string, a netip.Addr) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return false, unlessNone(err)
	}
	return slices.ContainsFunc(addrs, func(x netip.Addr) bool { return x.Unmap().WithZone("") == a }), nil
}

// unlessNone drops the error that says that there is none.
func unlessNone(err error) error {
	var d *net.DNSError
	if errors.As(err, &d) && d.IsNotFound {
		return nil
	}
	return err
}
