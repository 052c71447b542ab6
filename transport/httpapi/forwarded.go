package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// client is the address of who sent a request: that of the connection, or what the nearest proxies that are trusted say
// in X-Forwarded-For. Anyone can send that header, so it is read from its end and only as far as each speaker is trusted.
// It is for the log; no limit goes by it.
func (s *Server) client(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a connection that is not of a network
	}
	addr := at.Addr().Unmap()
	said := r.Header["X-Forwarded-For"]
	for i := len(said) - 1; i >= 0; i-- {
		for hops := said[i]; hops != ""; {
			if !s.trusts(addr) {
				return addr
			}
			var hop string
			if comma := strings.LastIndexByte(hops, ','); comma >= 0 {
				hops, hop = hops[:comma], hops[comma+1:]
			} else {
				hops, hop = "", hops
			}
			next, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				return addr // what is no address was not written by a proxy that can be trusted
			}
			addr = next.Unmap().WithZone("")
		}
	}
	return addr
}

func (s *Server) trusts(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
