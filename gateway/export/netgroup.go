package export

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"dittofs/gateway/accounts"
)

// netgroupFile is netgroup(5).
const netgroupFile = "/etc/netgroup"

// inNetgroup looks at /etc/netgroup, and for a group that is not there asks the name service switch by getent(1).
func (system) inNetgroup(ctx context.Context, group string, hosts []string) (bool, error) {
	b, err := os.ReadFile(netgroupFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	groups := parseNetgroups(string(b))
	if _, here := groups[group]; here {
		return groups.has(group, hosts, map[string]bool{}), nil
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	line, err := accounts.Getent(ctx, "netgroup", group)
	if err != nil {
		return false, err
	}
	return parseNetgroups(line).has(group, hosts, map[string]bool{}), nil
}

// netgroups are the members of each group: names of groups, and triples in parentheses. netgroup(5).
type netgroups map[string][]string

// parseNetgroups reads lines of a group's name and its members; a backslash at the end goes on in the next line.
func parseNetgroups(text string) netgroups {
	g := netgroups{}
	for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		line, _, _ = strings.Cut(line, "#")
		name, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if name == "" {
			continue
		}
		g[name] = append(g[name], members(rest)...)
	}
	return g
}

// members splits at spaces outside of parentheses.
func members(s string) (out []string) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		end := strings.IndexByte(s, ' ')
		if s[0] == '(' {
			if end = strings.IndexByte(s, ')'); end < 0 {
				return out // no triple
			}
			end++
		}
		if end < 0 {
			end = len(s)
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	return out
}

// has reports whether a group or one inside it has one of hosts. A triple without a host is all of them.
func (g netgroups) has(group string, hosts []string, been map[string]bool) bool {
	if been[group] {
		return false
	}
	been[group] = true
	return slices.ContainsFunc(g[group], func(m string) bool {
		if m[0] != '(' {
			return g.has(m, hosts, been)
		}
		h, _, triple := strings.Cut(m[1:len(m)-1], ",")
		h = strings.ToLower(strings.TrimSpace(h))
		return triple && (h == "" || slices.Contains(hosts, h))
	})
}
