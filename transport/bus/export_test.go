package bus

// Wrap makes a payload of any content, sound on the outside.
func Wrap(plain []byte, kind byte) []byte { return armour(compress(plain, kind)) }
