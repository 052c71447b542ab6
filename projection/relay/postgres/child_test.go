package postgres_test

const childVar = "AUDITLOG_TEST_RELAY_CHILD"

func child() {}
