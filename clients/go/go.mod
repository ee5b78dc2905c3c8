module example.org/herald/clients/go

go 1.24
