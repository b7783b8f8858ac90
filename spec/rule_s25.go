// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS25() Rule {
	return Rule{
		ID: "S25", Severity: SeverityWarning,
		Title: "What is likely personal (email, phone, name, address) says x-pii; card numbers, passwords and tokens are " +
			"errors: they never go over the bus.",
		Why:   "Whoever may read the type reads it, and the log keeps it; a secret in a log is a leak.",
		Mend:  "Add x-pii: email (phone, name, address) to the property.",
		check: checkS25,
	}
}

func checkS25(l *linter) {
	for _, f := range l.fields {
		if secret(f.name) && !f.has("boolean") {
			l.addAs(SeverityError, f.declared, "Leave it away; pass a reference that only its owner can resolve.",
				"%s looks like a card number, a password or a token", f.name)
			continue
		}
		if kind := personal(f.name); kind != "" && !f.has("boolean") && f.node.str("x-pii") == "" {
			l.add(f.declared, "%s looks like a person's %s and does not say x-pii", f.name, kind)
		}
	}
}

func secret(name string) bool {
	joined := strings.Join(wordsOf(name), "")
	last := []string{"password", "passwd", "secret", "token", "cvv", "cvc", "pan", "pin"}
	return slices.Contains(last, lastWord(name)) ||
		slices.Contains([]string{"cardnumber", "cardno", "creditcard", "creditcardnumber", "apikey", "privatekey"}, joined)
}

// personal is what kind of personal data a name promises, "" for none.
func personal(name string) string {
	ws := wordsOf(name)
	switch joined := strings.Join(ws, ""); {
	case lastWord(name) == "email":
		return "email"
	case slices.Contains([]string{"phone", "msisdn"}, lastWord(name)) || strings.HasSuffix(joined, "phonenumber"):
		return "phone"
	case slices.Contains([]string{"address", "street"}, lastWord(name)) && !slices.Contains(ws, "ip"):
		return "address"
	case slices.Contains([]string{"name", "fullname", "firstname", "lastname", "middlename", "surname", "customername",
		"recipientname", "buyername", "username"}, joined):
		return "name"
	}
	return ""
}
