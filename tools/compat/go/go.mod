module ringmq/compat

go 1.22
