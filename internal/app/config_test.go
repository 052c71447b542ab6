package app

import (
	"fmt"
	"strings"
	"testing"
)

func TestSecretsAreNotShown(t *testing.T) {
	c := Config{JWTSecret: "0123456789abcdef0123456789abcdef"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, "0123456789") || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s shows %s", format, text)
		}
	}
	got, err := c.SigningSecret()
	if err != nil || string(got) != string(c.JWTSecret) {
		t.Errorf("the secret itself is %q, %v", got, err)
	}
}

func TestValidateNamesEverySettingAtOnce(t *testing.T) {
	err := Config{Addr: "x", OpsAddr: "127.0.0.1:70000", Keys: "postgres://x", JWTSecret: "short", RetentionFloor: -1, Drain: -1, QueueEntries: -1, Origins: []string{"x"}}.Validate()
	if err == nil {
		t.Fatal("no complaint")
	}
	for _, setting := range []string{setAddr, setOps, setKeys, setSecret, setFloor, setDrain, setQueue, setOrigins} {
		if !strings.Contains(err.Error(), setting+": ") {
			t.Errorf("%s is not named in %v", setting, err)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Error("the message shows the secret")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}
