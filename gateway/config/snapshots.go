package config

import (
	"errors"
	"path"
	"strings"
	"time"
)

// Snapshots is where an export's earlier states lie: a directory beneath the export's, and a pattern for the names in it that says their
// time in UTC, with %Y %m %d %H %M %S as strftime(3) has them. "": there are none.
type Snapshots string

// Dir is the directory, relative to the export's.
func (s Snapshots) Dir() string { return path.Dir(string(s)) }

// Layout is the names' layout, as package time wants it.
func (s Snapshots) Layout() string {
	return strings.NewReplacer("%Y", "2006", "%m", "01", "%d", "02", "%H", "15", "%M", "04", "%S", "05").Replace(path.Base(string(s)))
}

// Time is when the snapshot of that name was made; ok is false for a name that is none.
func (s Snapshots) Time(name string) (t time.Time, ok bool) {
	t, err := time.Parse(s.Layout(), name)
	return t, err == nil && t.Format(s.Layout()) == name
}

func (s Snapshots) check() error {
	if s == "" {
		return nil
	}
	if path.IsAbs(string(s)) || path.Clean(string(s)) != string(s) || s.Dir() == "." || strings.HasPrefix(string(s), "..") {
		return errors.New("must be DIRECTORY/PATTERN beneath the export")
	}
	base := path.Base(string(s))
	for _, v := range []string{"%Y", "%m", "%d", "%H", "%M", "%S"} {
		if strings.Count(base, v) != 1 {
			return errors.New("the pattern must have each of %Y %m %d %H %M %S once")
		}
	}
	if rest := strings.NewReplacer("%Y", "", "%m", "", "%d", "", "%H", "", "%M", "", "%S", "").Replace(base); strings.ContainsAny(rest, "%0123456789") {
		return errors.New("the pattern must have no other % and no digits")
	}
	return nil
}
