#!/usr/bin/env bash
# Fetches Apache Kafka from Maven Central for the tests, once, into ~/.cache/tidegate-test/kafka-<version>.
set -euo pipefail

version=4.1.1
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/kafka-$version"
[ -d "$dir" ] && exit 0

missing=()
command -v java >/dev/null || missing+=("Java 17 (Debian: openjdk-17-jre-headless)")
command -v mvn >/dev/null || missing+=("Maven (Debian: maven)")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'The tests of Kafka endpoints need Apache Kafka, and to fetch and run it: %s\n' "${missing[@]}" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidegate</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars"
mkdir -p "$(dirname "$dir")"
mv -T "$work/jars" "$dir"
