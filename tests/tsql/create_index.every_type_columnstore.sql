CREATE NONCLUSTERED COLUMNSTORE INDEX [every_type] ON [dbo].[every_type] ([c2]) WHERE ([a]>(0) AND [b] IS NOT NULL);
