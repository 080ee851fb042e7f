package export

import "slices"

// Sec is the security flavors that a client may use here, in the order of preference. Package config has let only known ones through.
func (e *Export) Sec() []string {
	if len(e.Export.Sec) == 0 {
		return []string{"sys"}
	}
	return e.Export.Sec
}

// Takes reports whether a client may use this flavor here: sys, krb5, krb5i or krb5p. A stronger protection than a listed one is not taken
// for it, as exports(5) has it.
func (e *Export) Takes(sec string) bool {
	if len(e.Export.Sec) == 0 {
		return sec == "sys"
	}
	return slices.Contains(e.Export.Sec, sec)
}
