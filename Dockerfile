# The service alone: one static binary, which is every process of it. What is embedded lies in the volume /data; processes
# of the distributed tier keep nothing there.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /auditlog ./cmd/auditlog && mkdir -m 0700 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /auditlog /auditlog
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
VOLUME /data
ENV AUDITLOG_DATA_DIR=/data AUDITLOG_ADDR=0.0.0.0:8080 AUDITLOG_OPS_ADDR=0.0.0.0:9090
EXPOSE 8080 9090
ENTRYPOINT ["/auditlog"]
CMD ["serve"]
