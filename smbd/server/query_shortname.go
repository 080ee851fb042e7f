package server

import "strings"

// isShortName reports whether a name is one of MS-DOS, 8.3: then it is its own alternate name. Others have none. [MS-FSCC] 2.1.5.2.1.
func isShortName(name string) bool {
	base, ext, dotted := strings.Cut(name, ".")
	if len(base) < 1 || len(base) > 8 || len(ext) > 3 || dotted && ext == "" {
		return false
	}
	for _, c := range []byte(base + ext) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("$%'-_@~`!(){}^#&", c) < 0 {
			return false
		}
	}
	return true
}
