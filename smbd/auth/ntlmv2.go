package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"

	"dittofs/gateway/accounts"
)

// sizeNTLMv2 is where the AV_PAIRs of an NTLMv2_RESPONSE begin: 16 bytes of NTProofStr, 28 of NTLMv2_CLIENT_CHALLENGE. [MS-NLMP] 2.2.2.7, 2.2.2.8.
const sizeNTLMv2 = 16 + 28

// responseKey is NTOWFv2. [MS-NLMP] 3.3.2.
func responseKey(hash [16]byte, user, domain string) []byte {
	return hmacMD5(hash[:], utf16le(accounts.Upper(user)), utf16le(domain))
}

// ntlmv2 computes NTProofStr and SessionBaseKey for a client's response. [MS-NLMP] 3.3.2.
func ntlmv2(hash [16]byte, user, domain string, challenge, response []byte) (proof, base [16]byte, err error) {
	if len(response) < sizeNTLMv2 || response[16] != 1 || response[17] != 1 {
		return proof, base, errors.New("an NTLMv2 response of another version, or too short")
	}
	if _, err := parseAvPairs(response[sizeNTLMv2:]); err != nil {
		return proof, base, err
	}
	key := responseKey(hash, user, domain)
	copy(proof[:], hmacMD5(key, challenge, response[16:]))
	copy(base[:], hmacMD5(key, proof[:]))
	return proof, base, nil
}

// exportedKey is ExportedSessionKey. For NTLMv2 KeyExchangeKey is SessionBaseKey. [MS-NLMP] 3.2.5.1.2, 3.4.5.1.
func (m *authenticateMessage) exportedKey(base []byte) ([]byte, error) {
	if m.flags&flagKeyExchange == 0 || len(m.sealedKey) == 0 && m.flags&(flagSign|flagSeal) == 0 {
		return append([]byte(nil), base...), nil
	}
	if len(m.sealedKey) != 16 {
		return nil, errors.New("no EncryptedRandomSessionKey of 16 bytes")
	}
	return rc4Of(base, m.sealedKey), nil
}

// messageMIC is the MIC over the three messages, the last one with its MIC as zeros. [MS-NLMP] 3.1.5.1.2.
func messageMIC(key, negotiate, challenge, authenticate []byte) []byte {
	return hmacMD5(key, negotiate, challenge, authenticate[:offMIC], make([]byte, sizeWithMIC-offMIC), authenticate[sizeWithMIC:])
}

type direction string

// The magic constants' beginnings, [MS-NLMP] 3.4.5.2 and 3.4.5.3.
const (
	clientToServer direction = "session key to client-to-server "
	serverToClient direction = "session key to server-to-client "
)

// mechListMIC is the signature, with sequence number 0, that each side gives of the MechTypeList. RFC 4178 §5, [MS-NLMP] 3.4.4.2.
func mechListMIC(d direction, flags uint32, key, list []byte) []byte {
	sign := md5.Sum(append(append([]byte(nil), key...), d+"signing key magic constant\x00"...))
	sum := hmacMD5(sign[:], make([]byte, 4), list)[:8]
	if flags&flagKeyExchange != 0 {
		n := 5
		switch {
		case flags&flag128 != 0:
			n = 16
		case flags&flag56 != 0:
			n = 7
		}
		seal := md5.Sum(append(append([]byte(nil), key[:n]...), d+"sealing key magic constant\x00"...))
		sum = rc4Of(seal[:], sum)
	}
	b := binary.LittleEndian.AppendUint32(nil, 1) // Version
	b = append(b, sum...)
	return append(b, 0, 0, 0, 0) // SeqNum
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func rc4Of(key, in []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // the keys here have 16 bytes
	}
	out := make([]byte, len(in))
	c.XORKeyStream(out, in)
	return out
}
