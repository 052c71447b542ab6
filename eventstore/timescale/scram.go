package timescale

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"golang.org/x/text/secure/precis"
)

// scramRounds is PostgreSQL's own default (scram_iterations).
const scramRounds = 4096

// scramVerifier is what PostgreSQL stores of a password (RFC 5803), made here so that the password itself stays out of
// the statement, and of the logs that show statements.
func scramVerifier(password string) (string, error) {
	if prepared, err := precis.OpaqueString.String(password); err == nil { // as pgx does when it logs in
		password = prepared
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramRounds, sha256.Size)
	if err != nil {
		return "", err
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramRounds, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
