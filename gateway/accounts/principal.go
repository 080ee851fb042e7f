package accounts

import "slices"

// Principals finds the local accounts of Kerberos principals: alice@EXAMPLE.ORG is alice, where EXAMPLE.ORG is one of our realms.
type Principals struct {
	Realms func() []string // ours; others' principals are nobody

	kept kept[string]
}

// Account finds the account of a principal. Only names of one component have one: services and hosts are nobody.
func (p *Principals) Account(name []string, realm string) (Account, bool) {
	if !p.Ours(name, realm) {
		return Account{}, false
	}
	a, known, err := p.kept.find(name[0], ByName)
	return a, known && err == nil
}

// Ours reports whether a principal could have an account here.
func (p *Principals) Ours(name []string, realm string) bool {
	return len(name) == 1 && slices.Contains(p.Realms(), realm) && accountName(name[0])
}
